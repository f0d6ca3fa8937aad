/** How many sites it takes. */

/** With two, each could read the other's update from the sum. */
export const MIN_SURVIVORS = 3;

/** Neighbours of a site in a large cohort: a site's work does not grow beyond that of a cohort of 101. */
export const GRAPH_DEGREE = 100;

/**
 * Sites that must stay to the end, and signatures that a survivor list needs: floor(2n/3) + 1, and a majority below
 * five. Two lists with `threshold` signatures each would need 2 * threshold <= n + m when m sites sign twice; see
 * docs/adr/0004-secure-aggregation-where-it-departs.md for n = 5.
 */
export function thresholdOf(sites: number): number {
  return sites < 5 ? Math.floor(sites / 2) + 1 : Math.floor((2 * sites) / 3) + 1;
}

/** Shares that rebuild a key: the cohort's threshold, or that of one neighbourhood in a large cohort. */
export function shareThresholdOf(cohort: number): number {
  return Math.min(thresholdOf(cohort), thresholdOf(GRAPH_DEGREE + 1));
}
