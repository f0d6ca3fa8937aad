import type { ImageComparison } from "@consilium/shared/protocol/fingerprint";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ReactNode } from "react";

/** Whether each site's images are like the others', before anything fails for it. Nothing while there is nobody to compare with. */
export function ImagesCard({ status: { images } }: { readonly status: FederationStatus }): ReactNode {
  const [first] = images;
  if (first === undefined) return null;
  return (
    <section className="card" aria-labelledby="images-title">
      <div className="card-head">
        <h2 id="images-title">Are the images alike?</h2>
        <span className="dimmed">distance from the other sites: 0 alike, 1 nothing in common</span>
      </div>
      <div className="scroll" tabIndex={0} role="region" aria-label="Images, scrollable">
        <table className="images">
          <thead>
            <tr>
              <th scope="col">Site</th>
              {first.groups.map(({ name, title }) => (
                <th key={name} scope="col" className="number">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {images.map((comparison) => (
              <SiteRow key={comparison.site} comparison={comparison} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function SiteRow({ comparison }: { readonly comparison: ImageComparison }): ReactNode {
  const { site, groups, verdict } = comparison;
  const isUnlike = groups.some(({ unlike }) => unlike);
  return (
    <tr data-testid={`images-${site}`}>
      <th scope="row">
        <strong>{site}</strong>
        <span className={isUnlike ? "verdict verdict-unlike" : "verdict"}>{verdict}</span>
      </th>
      {groups.map(({ name, distance, unlike }) => (
        <td key={name} className={unlike ? "number unlike" : distance === null ? "number dimmed" : "number"}>
          {distance === null ? "–" : distance.toFixed(2)}
        </td>
      ))}
    </tr>
  );
}
