/**
 * Who shares with whom. Every pair up to 101 sites; beyond, a ring in an order drawn from all sites' signed keys, each
 * linked to the 50 next on both sides (a Harary graph on a random permutation: Bell et al. 2020, section 3.1). The
 * coordinator cannot choose a site's neighbours: they follow from fresh keys of every site.
 */
import { canonicalJson, sha256 } from "../canonical.ts";
import type { Sha256, SiteId } from "../ids.ts";
import { compareSites, type Attempt } from "./attempt.ts";
import type { SignedKeys } from "./messages.ts";
import { GRAPH_DEGREE, shareThresholdOf } from "./threshold.ts";

export interface Mesh {
  /** Names the sites that advertised keys and the keys themselves. */
  readonly digest: Sha256;
  /** In the order of their names. */
  readonly sites: readonly SiteId[];
  readonly shareThreshold: number;
  /**
   * Who holds the shares of a site: itself and its neighbours, in the order of their names. Holder i has the share at
   * x = i + 1. A neighbour's neighbour relation is mutual.
   */
  readonly holders: ReadonlyMap<SiteId, readonly SiteId[]>;
}

/** @param keys verified, in the order of the sites' names */
export function meshOf(attempt: Attempt, keys: readonly SignedKeys[]): Mesh {
  const digest = sha256(
    canonicalJson({ context: attempt.context, keys: keys.map(({ body }) => ({ ...body })) }),
  );
  const sites = keys.map(({ body }) => body.site);
  return {
    digest,
    sites,
    shareThreshold: shareThresholdOf(attempt.members.size),
    holders: holdersOf(sites, digest),
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

/** Whether masks tie all of them into one sum; otherwise each part's own sum would show. */
export function isConnected(mesh: Mesh, sites: readonly SiteId[]): boolean {
  const present = new Set(sites);
  const reached = new Set(sites.slice(0, 1));
  for (const site of reached) for (const next of neighbours(mesh, site, present)) reached.add(next);
  return reached.size === present.size;
}
