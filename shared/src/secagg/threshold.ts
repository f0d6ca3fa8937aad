/** How many sites it takes. */

/** With two, each could read the other's update from the sum. */
export const MIN_SURVIVORS = 3;

/** Where groups are summed apart (groups.ts): with three at work one may be lost, and each hides its sites among three. */
export const MIN_GROUP_SITES = 4;

/** A median of two is their mean, which one of them moves at will. */
export const MIN_GROUPS = 3;

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

/** Fewest sites whose sum is opened where groups have at least so many. */
export const fewestInGroup = (groupSites: number): number => Math.max(MIN_SURVIVORS, thresholdOf(groupSites));

/** Shares that rebuild a key: its sum's threshold, or that of one neighbourhood in a large one. */
export const sharesNeeded = (threshold: number): number => Math.min(threshold, thresholdOf(GRAPH_DEGREE + 1));
