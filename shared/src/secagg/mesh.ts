/**
 * Who shares with whom. In most rounds every pair up to 101 sites; beyond, a ring in an order drawn from all sites' signed
 * keys, each linked to the 50 next on both sides (a Harary graph on a random permutation: Bell et al. 2020, section 3.1).
 * Where groups are summed apart each group is a mesh by itself. The coordinator cannot choose a site's neighbours: they
 * follow from fresh keys of every site.
 */
import { sha256 } from "../canonical.ts";
import type { Sha256, SiteId } from "../ids.ts";
import { compareSites, tooFew, type Attempt } from "./attempt.ts";
import { drawGroups, keysDigest, type Group } from "./groups.ts";
import type { SignedKeys } from "./messages.ts";
import { required } from "./required.ts";
import { GRAPH_DEGREE, MIN_GROUPS, sharesNeeded } from "./threshold.ts";

export interface Mesh {
  /** Names the sites that advertised keys and the keys themselves. */
  readonly digest: Sha256;
  /** In the order of their names. */
  readonly sites: readonly SiteId[];
  /** Of each the sum is opened; one with all sites unless the plan asks for groups. */
  readonly groups: readonly Group[];
  /**
   * Who holds the shares of a site: itself and its neighbours, in the order of their names. Holder i has the share at
   * x = i + 1. A neighbour's neighbour relation is mutual.
   */
  readonly holders: ReadonlyMap<SiteId, readonly SiteId[]>;
}

/**
 * @param keys verified, in the order of the sites' names
 * @throws secagg.too-few-sites if they make fewer than three groups where there are to be some
 */
export function meshOf(attempt: Attempt, keys: readonly SignedKeys[]): Mesh {
  const { groupSites, terms } = attempt;
  const bodies = keys.map(({ body }) => body);
  const digest = keysDigest(bodies);
  const sites = bodies.map(({ site }) => site);
  const groups =
    groupSites === undefined
      ? [{ sites, threshold: terms.threshold }]
      : drawGroups(sites, digest, groupSites);
  if (groupSites !== undefined && groups.length < MIN_GROUPS) {
    throw tooFew(sites.length, MIN_GROUPS * groupSites);
  }
  return {
    digest,
    sites,
    groups,
    holders: new Map(groups.flatMap((group) => [...holdersOf(group.sites, digest)])),
  };
}

export function holdersOf(
  sites: readonly SiteId[],
  seed: Sha256,
  degree = GRAPH_DEGREE,
): Map<SiteId, readonly SiteId[]> {
  if (sites.length <= degree + 1) return new Map(sites.map((site) => [site, sites]));
  const ring = sites
    .map((site) => ({ site, place: sha256(`consilium/1 secagg ring\n${seed}\n${site}`) }))
    .sort((a, b) => (a.place < b.place ? -1 : 1))
    .map(({ site }) => site);
  return new Map(
    ring.map((site, place) => [
      site,
      Array.from({ length: degree + 1 }, (_, i) => place + i - degree / 2)
        .flatMap((at) => ring.at(at % ring.length) ?? [])
        .sort(compareSites),
    ]),
  );
}

/** Neighbours of a site among `present`, without itself. */
export function neighbours(mesh: Mesh, site: SiteId, present: ReadonlySet<SiteId>): SiteId[] {
  return (mesh.holders.get(site) ?? []).filter((other) => other !== site && present.has(other));
}

/** Shares that rebuild a secret of this site. */
export function shareThresholdFor(mesh: Mesh, site: SiteId): number {
  return sharesNeeded(required(mesh.groups.find(({ sites }) => sites.includes(site))).threshold);
}

/** Whether masks tie all of them into one sum; otherwise each part's own sum would show. */
export function isConnected(mesh: Pick<Mesh, "holders">, sites: readonly SiteId[]): boolean {
  const present = new Set(sites);
  const reached = new Set(sites.slice(0, 1));
  for (const site of reached) {
    for (const next of mesh.holders.get(site) ?? []) if (present.has(next)) reached.add(next);
  }
  return reached.size === present.size;
}
