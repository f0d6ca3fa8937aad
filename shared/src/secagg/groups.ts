/**
 * Which sites' sum is opened apart from the others'. Most rounds have one sum; where a plan asks for groups, all sites' signed
 * keys of the attempt decide who is in which. Pure, and the same at the sites, the coordinator and its reducer.
 */
import { canonicalJson, sha256 } from "../canonical.ts";
import type { Sha256, SiteId } from "../ids.ts";
import { compareSites } from "./attempt.ts";
import type { SignedKeys } from "./messages.ts";
import { required } from "./required.ts";
import { thresholdOf } from "./threshold.ts";

export interface Group {
  /** That advertised keys, in the order of their names. */
  readonly sites: readonly SiteId[];
  /** Fewest of them with which its sum is opened. */
  readonly threshold: number;
}

/**
 * Names the sites that advertised keys, and the keys.
 * @param keys in the order of the sites' names; at least one
 */
export function keysDigest(keys: readonly SignedKeys["body"][]): Sha256 {
  const { context } = required(keys[0]);
  return sha256(canonicalJson({ context, keys: keys.map((body) => ({ ...body })) }));
}

/**
 * As many groups as there can be of at least `groupSites`; their sizes differ by one at most. Sites are put in the order of
 * `H("consilium/1 secagg group\n" || digest || "\n" || site)` and dealt out in turn.
 */
export function drawGroups(sites: readonly SiteId[], digest: Sha256, groupSites: number): readonly Group[] {
  const count = Math.floor(sites.length / groupSites);
  const lots = sites
    .map((site) => ({ site, lot: sha256(`consilium/1 secagg group\n${digest}\n${site}`) }))
    .sort((a, b) => (a.lot < b.lot ? -1 : 1));
  return Array.from({ length: count }, (_, group) => {
    const members = lots.filter((_, i) => i % count === group).map(({ site }) => site);
    return { sites: members.sort(compareSites), threshold: thresholdOf(members.length) };
  });
}

/** The sites of each group that are present, where these are enough. */
export function wholeGroups(
  groups: readonly Group[],
  present: readonly SiteId[],
): readonly (readonly SiteId[])[] {
  const isPresent = new Set(present);
  return groups
    .map(({ sites, threshold }) => ({ left: sites.filter((site) => isPresent.has(site)), threshold }))
    .filter(({ left, threshold }) => left.length >= threshold)
    .map(({ left }) => left);
}
