/** What both sides check of the advertised keys. */
import { ConsiliumError } from "../errors.ts";
import type { SiteId } from "../ids.ts";
import { compareSites, tooFew, verifyMember, type Attempt } from "./attempt.ts";
import { meshOf, type Mesh } from "./mesh.ts";
import type { SignedKeys } from "./messages.ts";
import { MIN_SURVIVORS } from "./threshold.ts";

/** In the order of the sites' names. */
export function bySite<T extends { readonly body: { readonly site: SiteId } }>(signed: readonly T[]): T[] {
  return signed.toSorted((a, b) => compareSites(a.body.site, b.body.site));
}

/** Fewest sites with which the attempt may go on, in any round. */
function fewestSites(attempt: Attempt): number {
  return Math.max(MIN_SURVIVORS, attempt.terms.threshold);
}

/** @throws secagg.too-few-sites, naming those that are missing */
export function assertEnough(attempt: Attempt, sites: readonly SiteId[]): void {
  const need = fewestSites(attempt);
  if (sites.length >= need) return;
  const present = new Set(sites);
  throw tooFew(
    sites.length,
    need,
    [...attempt.members.keys()].filter((site) => !present.has(site)),
  );
}

/**
 * Verifies every signature against the roster; no key may occur twice, among all keys of all sites.
 * @throws crypto.bad-signature, secagg.other-attempt, site.unknown, secagg.bad-key, secagg.too-few-sites
 */
export function verifiedMesh(attempt: Attempt, keys: readonly SignedKeys[]): Mesh {
  const seen = new Set<string>();
  for (const signed of keys) {
    const { site, sealKey, pairKey } = verifyMember(attempt, "secagg-keys", signed);
    for (const key of [site, sealKey, pairKey]) {
      if (seen.has(key)) throw new ConsiliumError("secagg.bad-key", { culprits: [site] });
      seen.add(key);
    }
  }
  const sorted = bySite(keys);
  assertEnough(
    attempt,
    sorted.map(({ body }) => body.site),
  );
  return meshOf(attempt, sorted);
}
