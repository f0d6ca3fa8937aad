/** Who shares with whom where not everyone shares with everyone: in a large cohort, and where groups are summed apart. */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { drawGroups } from "@consilium/shared/secagg/groups";
import { required } from "@consilium/shared/secagg/required";
import { holdersOf } from "@consilium/shared/secagg/mesh";
import { siteNames } from "@consilium/shared/secagg/testing/consortium";
import { siteIdSchema } from "@consilium/shared/ids";

const SITES = 120;
const GROUPED = [12, 18, 40] as const;
const GROUP_SITES = 4;

const sitesOf = (count: number) => siteNames(count).map((site) => siteIdSchema.parse(site));

export function playRing() {
  const digest = sha256("a mesh digest");
  const sites = sitesOf(SITES);
  const holders = holdersOf(sites, digest);
  return {
    digest,
    sites,
    /** Of the first site, itself among them. */
    holdersOfFirst: required(holders.get(required(sites[0]))),
    /** SHA-256 of canonical JSON of all holders by site. */
    holdersHash: sha256(canonicalJson(Object.fromEntries(holders))),
  };
}

export function playGroups() {
  const digest = sha256("a mesh digest of groups");
  return GROUPED.map((count) => {
    const sites = sitesOf(count);
    return { digest, groupSites: GROUP_SITES, sites, groups: drawGroups(sites, digest, GROUP_SITES) };
  });
}
