/** What is known of the sites' images, however it came to be known, and how it is shown. */
import type { Identity } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { verdictOf, type Comparison } from "@consilium/shared/fingerprint/compare";
import { binsOf, GROUPS } from "@consilium/shared/fingerprint/layout";
import type { SiteId } from "@consilium/shared/ids";
import type {
  CohortStatus,
  CohortSum,
  DistancesMessage,
  FingerprintMessage,
  ImageComparison,
  MaskedCohort,
} from "@consilium/shared/protocol/fingerprint";
import type { Clock } from "../clock.ts";
import type { SiteRow } from "../store/store.ts";
import type { JournalPorts } from "./journal.ts";

export interface ImagePorts extends JournalPorts {
  readonly clock: Clock;
  readonly identity: Identity;
}

export interface SiteImages {
  /** Keeps a site's newest fingerprint. @throws protocol.invalid-message where the plan masks */
  receive(sender: SiteRow, message: FingerprintMessage): Promise<void>;
  /** Keeps what a site says of its distance from the others. @throws protocol.invalid-message unless the plan masks */
  report(sender: SiteRow, message: Signed<DistancesMessage>): Promise<void>;
  /** What a site may know of the others. */
  cohort(): CohortSum | MaskedCohort;
  /** Each site beside the others, ordered by site. */
  comparisons(): readonly ImageComparison[];
  status(): CohortStatus;
}

export function imageComparison(site: SiteId, compared: Comparison): ImageComparison {
  return {
    site,
    groups: GROUPS.map(({ name, title }) => ({
      name,
      title,
      distance: compared.distances[name],
      unlike: compared.unlike.includes(name),
    })),
    verdict: verdictOf(compared),
  };
}

export const isUnlike = ({ groups }: ImageComparison): boolean => groups.some(({ unlike }) => unlike);

export function cohortStatus(
  sites: number,
  sum: readonly number[] | null,
  givenUp: string | null,
): CohortStatus {
  if (sum === null) return { sites, groups: null, givenUp };
  const vector = Uint32Array.from(sum);
  const groups = GROUPS.map((group) => {
    const bins = binsOf(vector, group);
    const total = bins.reduce((all, share) => all + share, 0);
    const shares = group.bins.map((bin, i) => ({ bin, share: (bins[i] ?? 0) / total }));
    return { name: group.name, title: group.title, shares: total === 0 ? [] : shares };
  });
  return { sites, groups, givenUp };
}
