/** Who shares with whom in a cohort too large for everyone to share with everyone. */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { required } from "@consilium/shared/secagg/required";
import { holdersOf } from "@consilium/shared/secagg/mesh";
import { siteNames } from "@consilium/shared/secagg/testing/consortium";
import { siteIdSchema } from "@consilium/shared/ids";

const SITES = 120;

export function playRing() {
  const digest = sha256("a mesh digest");
  const sites = siteNames(SITES).map((site) => siteIdSchema.parse(site));
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
