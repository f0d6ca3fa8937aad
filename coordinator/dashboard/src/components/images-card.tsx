import type { CohortStatus, ImageComparison } from "@consilium/shared/protocol/fingerprint";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { ReactNode } from "react";
import { formatShare } from "../derive.ts";

type GroupShares = NonNullable<CohortStatus["groups"]>[number];

/** Whether each site's images are like the others', before anything fails for it. Nothing while nothing is known of them. */
export function ImagesCard({ status: { images, cohort } }: { readonly status: FederationStatus }): ReactNode {
  const columns = images[0]?.groups ?? cohort.groups;
  if (cohort.givenUp !== null) return <GivenUpCard reason={cohort.givenUp} />;
  if (columns === null) return null;
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
              {columns.map(({ name, title }) => (
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
            {cohort.groups !== null && <TogetherRow sites={cohort.sites} groups={cohort.groups} />}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function GivenUpCard({ reason }: { readonly reason: string }): ReactNode {
  return (
    <section className="card" aria-labelledby="images-title">
      <div className="card-head">
        <h2 id="images-title">Are the images alike?</h2>
      </div>
      <p className="empty-block" data-testid="images-given-up">
        Nobody knows: the sum of what the sites said of their images could not be opened ({reason}), and no
        site puts that into a second one. Have each site look at its own with consilium-site preview.
      </p>
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

function TogetherRow({
  sites,
  groups,
}: {
  readonly sites: number;
  readonly groups: readonly GroupShares[];
}): ReactNode {
  return (
    <tr data-testid="images-together">
      <th scope="row">
        <strong>{sites} sites together</strong>
        <span className="verdict">all that is known of them</span>
      </th>
      {groups.map((group) => (
        <td key={group.name} className="number">
          <Histogram group={group} />
        </td>
      ))}
    </tr>
  );
}

const WIDTH_PX = 72;
const HEIGHT_PX = 22;

function Histogram({ group: { title, shares } }: { readonly group: GroupShares }): ReactNode {
  if (shares.length === 0) return <span className="dimmed">–</span>;
  const most = Math.max(...shares.map(({ share }) => share));
  const step = WIDTH_PX / shares.length;
  const text = shares
    .filter(({ share }) => share > 0)
    .toSorted((a, b) => b.share - a.share)
    .slice(0, 4)
    .map(({ bin, share }) => `${bin} ${formatShare(share)}`)
    .join(", ");
  return (
    <svg
      className="histogram"
      width={WIDTH_PX}
      height={HEIGHT_PX}
      role="img"
      aria-label={`${title}: ${text}`}
    >
      <title>{text}</title>
      {shares.map(({ bin, share }, i) => {
        const height = Math.max(share > 0 ? 1 : 0, (HEIGHT_PX * share) / most);
        return (
          <rect key={bin} x={i * step} y={HEIGHT_PX - height} width={Math.max(1, step - 1)} height={height} />
        );
      })}
    </svg>
  );
}
