import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "../canonical.ts";
import { siteIdSchema, type SiteId } from "../ids.ts";
import { drawGroups } from "./groups.ts";
import { consistency } from "./site/consistency.ts";
import { consortium, member, siteNames } from "./testing/consortium.ts";
import { layoutFor, plainSum, valuesOf } from "./testing/exactness.ts";
import { advertiseAll, contributeAll, runGroups, shareAll, type Dropouts } from "./testing/run.ts";
import { thresholdOf } from "./threshold.ts";

const GROUP_SITES = 4;
const sites = (count: number) => siteNames(count).map((name) => siteIdSchema.parse(name));
const groupedConsortium = (count: number, which = {}) =>
  consortium(layoutFor(count, "wide", GROUP_SITES), which);
const PHASES = ["advertise", "share", "mask", "consistency", "unmask"] as const;

describe("groups that are drawn", () => {
  it("have every site once, none too few, and none two more than another", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 12, max: 200 }),
        fc.integer({ min: 4, max: 20 }),
        fc.string(),
        (n, size, seed) => {
          fc.pre(n >= 3 * size);
          const groups = drawGroups(sites(n), sha256(seed), size);
          expect(groups.flatMap((group) => group.sites).sort()).toEqual(sites(n));
          const sizes = groups.map((group) => group.sites.length);
          expect(Math.min(...sizes)).toBeGreaterThanOrEqual(size);
          expect(Math.max(...sizes)).toBeLessThanOrEqual(Math.min(...sizes) + 1);
          expect(groups.length).toBe(Math.floor(n / size));
        },
      ),
      { numRuns: 20, seed: 1 },
    );
  });

  it("are others with other keys, and a site meets all the others in time", () => {
    const met = new Set<SiteId>();
    for (let draw = 0; draw < 60; draw++) {
      const [group] = drawGroups(sites(12), sha256(`keys of attempt ${draw}`), GROUP_SITES).filter((one) =>
        one.sites.includes(siteIdSchema.parse("site-000")),
      );
      for (const site of group?.sites ?? []) met.add(site);
    }
    expect(met.size).toBe(12);
  });

  it("are the same at every site and the coordinator, and everyone's shares stay in its group", () => {
    const { sites: shared, coordinator } = shareAll(groupedConsortium(14));
    const { mesh } = coordinator.keep;
    expect(mesh.groups.map((group) => group.sites.length)).toEqual([5, 5, 4]);
    for (const state of shared.states.values()) expect(state.mesh).toEqual(mesh);
    for (const { sites: members } of mesh.groups) {
      for (const site of members) expect(mesh.holders.get(site)).toEqual(members);
    }
  });

  it("change with the attempt", () => {
    const groupsOf = (attempt: number) =>
      advertiseAll(groupedConsortium(12, { attempt })).coordinator.keep.mesh.groups;
    expect(groupsOf(1)).not.toEqual(groupsOf(2));
  });
});

it("nobody signs a list with a group that is too small, although there are enough sites in all", () => {
  const federation = groupedConsortium(13);
  const { sites: contributed, coordinator } = contributeAll(federation, (site) => valuesOf(site, "thin"));
  const { broadcast, keep } = coordinator;
  const [thin, other] = keep.mesh.groups;
  const lost = thin?.sites.slice(0, 2) ?? [];
  const survivors = broadcast.survivors.filter((site) => !lost.includes(site));
  for (const site of [thin?.sites[3], other?.sites[0]]) {
    const state = site && contributed.states.get(site);
    if (state === undefined) throw new Error("every site has contributed");
    expect(() => consistency(state, member(site ?? ""), { ...broadcast, survivors })).toThrow(
      expect.objectContaining({ code: "secagg.too-few-sites", culprits: lost }) as Error,
    );
  }
});

/** Who is left in each group at the end, told apart from how the rounds work. */
function expected(count: number, dropouts: Dropouts): readonly (readonly SiteId[])[] | "too few" {
  const threshold = thresholdOf(count);
  const dropped = (phase: (typeof PHASES)[number], site: SiteId) => (dropouts[phase] ?? []).includes(site);
  const advertised = sites(count).filter((site) => !dropped("advertise", site));
  if (advertised.length < Math.max(12, threshold)) return "too few";
  const { mesh } = advertiseAll(groupedConsortium(count), dropouts).coordinator.keep;
  let left = mesh.groups.map((group) => group.sites);
  for (const phase of ["share", "mask"] as const) {
    left = left
      .map((group) => group.filter((site) => !dropped(phase, site)))
      .map((group, i) => (group.length < thresholdOf(mesh.groups[i]?.sites.length ?? NaN) ? [] : group));
    const groups = left.filter((group) => group.length > 0).length;
    if (groups < 3 || left.flat().length < threshold) return "too few";
  }
  const votes = left.map((group) => group.filter((site) => !dropped("consistency", site)));
  if (votes.flat().length < threshold) return "too few";
  const opened = left.filter((group, i) => {
    const releases = votes[i]?.filter((site) => !dropped("unmask", site)) ?? [];
    return group.length > 0 && releases.length >= thresholdOf(mesh.groups[i]?.sites.length ?? NaN);
  });
  return opened.length < 3 ? "too few" : opened;
}

type Phase = (typeof PHASES)[number];

/** Two of the first group fall silent in this phase, and with it the group. */
function withThinGroup(count: number, phase: Phase, others: Dropouts): Dropouts {
  const [first] = advertiseAll(groupedConsortium(count), others).coordinator.keep.mesh.groups;
  return { ...others, [phase]: [...(others[phase] ?? []), ...(first?.sites.slice(0, 2) ?? [])] };
}

it("gives exactly the sum of each group that is left, wherever sites fall silent, or ends with too few", () => {
  const outcomes = { all: 0, without: 0, ends: 0 };
  const phase = fc.constantFrom(...PHASES);
  const stray = fc.tuple(fc.constantFrom(...siteNames(12)), phase);
  fc.assert(
    fc.property(
      fc.constantFrom(12, 13, 16),
      fc.option(fc.constantFrom(...PHASES.slice(1))),
      fc.option(stray),
      fc.string(),
      (count, thin, alone, seed) => {
        const layout = layoutFor(count, "wide", GROUP_SITES);
        const values = (site: SiteId) => valuesOf(site, seed);
        const others: Dropouts = alone === null || count === 12 ? {} : { [alone[1]]: [alone[0]] };
        const dropouts = thin === null ? others : withThinGroup(count, thin, others);
        const groups = expected(count, dropouts);
        if (groups === "too few") {
          outcomes.ends++;
          expect(() => runGroups(consortium(layout), values, dropouts)).toThrow(
            expect.objectContaining({ code: "secagg.too-few-sites" }) as Error,
          );
          return;
        }
        const opened = runGroups(consortium(layout), values, dropouts);
        outcomes[opened.length < Math.floor(count / GROUP_SITES) ? "without" : "all"]++;
        expect(opened.map(({ survivors }) => survivors)).toEqual(groups.filter((group) => group.length > 0));
        for (const { survivors, sum } of opened) {
          expect(Buffer.from(sum).equals(Buffer.from(plainSum(layout, survivors, values)))).toBe(true);
        }
      },
    ),
    {
      numRuns: 4,
      seed: 7,
      examples: [
        [16, "unmask", ["site-003", "mask"], ""],
        [13, null, ["site-002", "consistency"], ""],
        [12, "mask", null, ""],
      ],
    },
  );
  expect(Math.min(outcomes.all, outcomes.without, outcomes.ends)).toBeGreaterThan(0);
});
