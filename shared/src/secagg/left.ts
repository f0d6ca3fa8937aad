/** What both sides check of the sites that are left: that each sum which will be opened hides the sites in it. */
import type { SiteId } from "../ids.ts";
import { tooFew, type Attempt } from "./attempt.ts";
import { wholeGroups } from "./groups.ts";
import { assertEnough } from "./key-list.ts";
import { isConnected, type Mesh } from "./mesh.ts";
import { MIN_GROUPS } from "./threshold.ts";

/** Without the sites of groups that have too few left. Of one sum none is left out: it is whole, or the attempt is over. */
export function inWholeGroups({ groups }: Mesh, sites: readonly SiteId[]): readonly SiteId[] {
  if (groups.length === 1) return sites;
  const whole = new Set(wholeGroups(groups, sites).flat());
  return sites.filter((site) => whole.has(site));
}

/**
 * That there are enough in all, and in every group of which some are left; and where there are groups, three.
 * @throws secagg.too-few-sites, naming those that are missing
 */
export function assertWhole(attempt: Attempt, { groups }: Mesh, sites: readonly SiteId[]): void {
  assertEnough(attempt, sites);
  if (groups.length === 1) return;
  const present = new Set(sites);
  const begun = groups.filter((group) => group.sites.some((site) => present.has(site)));
  for (const group of begun) {
    const lost = group.sites.filter((site) => !present.has(site));
    const left = group.sites.length - lost.length;
    if (left < group.threshold) throw tooFew(left, group.threshold, lost);
  }
  if (begun.length < MIN_GROUPS) throw tooFew(begun.length, MIN_GROUPS);
}

/** @throws secagg.too-few-sites as `assertWhole`, and if masks do not tie a group's survivors into one sum */
export function assertSums(attempt: Attempt, mesh: Mesh, survivors: readonly SiteId[]): void {
  assertWhole(attempt, mesh, survivors);
  const present = new Set(survivors);
  for (const { sites } of mesh.groups) {
    if (
      !isConnected(
        mesh,
        sites.filter((site) => present.has(site)),
      )
    )
      throw tooFew(1, 2);
  }
}
