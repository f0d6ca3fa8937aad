import { describe, expect, it } from "vitest";
import { sha256 } from "../canonical.ts";
import { siteIdSchema } from "../ids.ts";
import { holdersOf, isConnected, neighbours } from "./mesh.ts";
import { siteNames } from "./testing/consortium.ts";
import { GRAPH_DEGREE, sharesNeeded, thresholdOf } from "./threshold.ts";

const sites = (count: number) => siteNames(count).map((name) => siteIdSchema.parse(name));
const meshWith = (count: number, seed: string, degree?: number) => ({
  digest: sha256(seed),
  sites: sites(count),
  groups: [{ sites: sites(count), threshold: thresholdOf(count) }],
  holders: holdersOf(sites(count), sha256(seed), degree),
});

describe("who shares with whom", () => {
  it("is everyone with everyone up to 101 sites", () => {
    for (const count of [3, 100, 101]) {
      const mesh = meshWith(count, "x");
      for (const site of mesh.sites) expect(mesh.holders.get(site)).toEqual(mesh.sites);
    }
  });

  it("is a hundred neighbours beyond, mutually, and depends on the keys", () => {
    const mesh = meshWith(150, "x");
    for (const [site, holders] of mesh.holders) {
      expect(new Set(holders).size).toBe(GRAPH_DEGREE + 1);
      expect(holders).toContain(site);
      expect(holders).toEqual(holders.toSorted());
      for (const other of holders) expect(mesh.holders.get(other)).toContain(site);
    }
    expect(isConnected(mesh, mesh.sites)).toBe(true);
    expect(meshWith(150, "y").holders).not.toEqual(mesh.holders);
    expect(meshWith(150, "x").holders).toEqual(mesh.holders);
  });

  it("tells survivors that fall apart into several sums", () => {
    // A ring of nine, each with one neighbour on either side.
    const ring = meshWith(9, "x", 2);
    const all = new Set(ring.sites);
    const [first, ...others] = ring.sites;
    if (first === undefined) expect.unreachable();
    const cut = new Set(neighbours(ring, first, all));
    expect(isConnected(ring, others)).toBe(true);
    expect(
      isConnected(
        ring,
        ring.sites.filter((site) => !cut.has(site)),
      ),
    ).toBe(false);
  });
});

describe("the threshold", () => {
  it("is more than two thirds, and a majority below five", () => {
    expect([3, 4, 5, 6, 7, 8, 9, 10, 100].map(thresholdOf)).toEqual([2, 3, 4, 5, 5, 6, 7, 7, 67]);
  });

  it("leaves no room for two lists when one site signs both", () => {
    // With three there is one list only: all of them.
    for (let n = 4; n <= 10_000; n++) expect(2 * thresholdOf(n)).toBeGreaterThan(n + 1);
  });

  it("of a share stays that of a neighbourhood in a large cohort", () => {
    const shares = [3, 100, 101, 102, 5000].map((sites) => sharesNeeded(thresholdOf(sites)));
    expect(shares).toEqual([2, 67, 68, 68, 68]);
  });
});
