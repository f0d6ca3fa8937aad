/**
 * The groups of a masked attempt as the reducer knows them: drawn from the keys that the coordinator holds, as every site
 * draws them. They are in no row of their own; after a restart they follow from the same messages.
 */
import type { SiteId } from "@consilium/shared/ids";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import { isFingerprintRound } from "@consilium/shared/protocol/round";
import { drawGroups, keysDigest, wholeGroups, type Group } from "@consilium/shared/secagg/groups";
import { bySite as keysBySite } from "@consilium/shared/secagg/key-list";
import type { SignedKeys } from "@consilium/shared/secagg/messages";
import type { Masking } from "./masking-steps.ts";
import { bySite, missing, NO_UPDATE } from "./state.ts";
import type { Exclusion, FederationState, OpenPosition, Rules } from "./types.ts";

/** Of an attempt whose groups are summed apart: what they will be drawn from, then who is in each. */
export type Grouping =
  | { readonly groupSites: number; readonly keys: readonly SignedKeys[] }
  | { readonly groups: readonly Group[] };

/** What the sites' images are like is one sum in any case: nobody takes a median of it. */
export function groupingAtFirst({ groupSites }: Rules, round: number): Pick<Masking, "grouping"> {
  return groupSites === undefined || isFingerprintRound(round) ? {} : { grouping: { groupSites, keys: [] } };
}

/** Keeps the keys until all are here. */
export function withKeys(grouping: Grouping, message: MaskingMessage): Grouping {
  if (!("keys" in grouping) || message.step !== "advertise") return grouping;
  return { ...grouping, keys: keysBySite([...grouping.keys, message.keys]) };
}

/** Once nobody advertises any more. */
export function drawn(grouping: Grouping): Grouping {
  if ("groups" in grouping) return grouping;
  const keys = grouping.keys.map(({ body }) => body);
  const sites = keys.map(({ site }) => site);
  return { groups: drawGroups(sites, keysDigest(keys), grouping.groupSites) };
}

/** Those of the sites with whom the attempt goes on: all, but for groups with too few of them. */
export function inWholeGroups({ grouping }: Masking, sites: readonly SiteId[]): readonly SiteId[] {
  if (grouping === undefined || "keys" in grouping) return sites;
  const whole = new Set(wholeGroups(grouping.groups, sites).flat());
  return sites.filter((site) => whole.has(site));
}

/** Groups with enough of the sites; undefined where there is one sum, or no group yet. */
export function countWholeGroups({ grouping }: Masking, sites: readonly SiteId[]): number | undefined {
  return grouping === undefined || "keys" in grouping
    ? undefined
    : wholeGroups(grouping.groups, sites).length;
}

const LEFT_OUT = "too few sites of its group were left";

/** Who of the cohort is in no sum once no more releases come, and why. */
export function excludedFrom(state: FederationState, position: OpenPosition): readonly Exclusion[] {
  const { masking, contributions } = position;
  const absent = missing(state, position);
  const grouping = masking?.grouping;
  if (masking === null || grouping === undefined || "keys" in grouping) return absent;
  const opened = new Set(wholeGroups(grouping.groups, masking.answered).flat());
  const contributed = new Set(contributions.map(({ site }) => site));
  const own = new Map(absent.map((exclusion) => [exclusion.site, exclusion.reason]));
  for (const { sites } of grouping.groups) {
    if (sites.some((site) => opened.has(site))) continue;
    // Of a group that was left out before, nobody was asked for an update.
    const wereAsked = sites.some((site) => contributed.has(site));
    for (const site of sites) {
      const reason = own.get(site);
      if (reason === undefined || (!wereAsked && reason === NO_UPDATE)) own.set(site, LEFT_OUT);
    }
  }
  return [...own].map(([site, reason]) => ({ site, reason })).sort(bySite);
}
