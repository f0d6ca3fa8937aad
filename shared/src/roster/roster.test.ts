import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createIdentity, sign, type Identity } from "../crypto/identity.ts";
import type { FederationId, SiteId } from "../ids.ts";
import {
  applyChange,
  endorsementOf,
  endorsementsNeeded,
  followChanges,
  type RosterChange,
  type VersionedRoster,
} from "./roster.ts";

const federation = "lungs" as FederationId;
const keys = new Map<string, Identity>();
const identityOf = (site: string): Identity => {
  const known = keys.get(site) ?? createIdentity((length) => new Uint8Array(length).fill(keys.size + 1));
  keys.set(site, known);
  return known;
};
const member = (site: string) => ({ site: site as SiteId, identity: identityOf(site).public });
const rosterOf = (...sites: readonly string[]): VersionedRoster => ({
  federation,
  version: 1,
  members: sites.map(member),
});
const endorsed = (roster: VersionedRoster, endorser: string, site: string, keyOf = endorser) =>
  sign("roster-endorsement", endorsementOf(roster, endorser as SiteId, member(site)), identityOf(keyOf));
const added = (
  roster: VersionedRoster,
  site: string,
  endorsements: Extract<RosterChange, { change: "added" }>["endorsements"],
): RosterChange => ({ change: "added", version: roster.version + 1, ...member(site), endorsements });
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error;

const abc = rosterOf("a", "b", "c");

describe("a site is added", () => {
  it("by the signatures of most members and by no fewer", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 7 }), (size, signatures) => {
        const names = Array.from({ length: size }, (_, i) => `m${i}`);
        const roster = rosterOf(...names);
        const given = names.slice(0, signatures).map((name) => endorsed(roster, name, "new"));
        const change = added(roster, "new", given);
        if (signatures >= endorsementsNeeded(size)) {
          expect(applyChange(roster, change).members.map(({ site }) => site)).toEqual([...names, "new"]);
        } else {
          expect(() => applyChange(roster, change)).toThrow(code("roster.not-endorsed"));
        }
      }),
      { numRuns: 30 },
    );
  });

  it("not by one member's signature given twice", () => {
    const one = endorsed(abc, "a", "new");
    expect(() => applyChange(abc, added(abc, "new", [one, one]))).toThrow(code("roster.not-endorsed"));
  });

  it("not by signatures of keys that are not pinned", () => {
    const forged = [endorsed(abc, "a", "new"), endorsed(abc, "b", "new", "coordinator")];
    expect(() => applyChange(abc, added(abc, "new", forged))).toThrow(code("crypto.bad-signature"));
    const stranger = [endorsed(abc, "a", "new"), endorsed(abc, "sybil", "new")];
    expect(() => applyChange(abc, added(abc, "new", stranger))).toThrow(code("roster.not-endorsed"));
  });

  it("not by signatures that were given for another site, key or version", () => {
    const other = [endorsed(abc, "a", "x"), endorsed(abc, "b", "x")];
    expect(() => applyChange(abc, added(abc, "new", other))).toThrow(code("roster.not-endorsed"));
    const later = { ...abc, version: 5 };
    const spent = [endorsed(abc, "a", "new"), endorsed(abc, "b", "new")];
    expect(() => applyChange(later, added(later, "new", spent))).toThrow(code("roster.not-endorsed"));
  });

  it("with another key only after it was removed, and with new signatures", () => {
    const replaced = added(abc, "c", [endorsed(abc, "a", "c"), endorsed(abc, "b", "c")]);
    expect(() => applyChange(abc, replaced)).toThrow(code("protocol.invalid-message"));
    const without = applyChange(abc, { change: "removed", version: 2, site: "c" as SiteId });
    const again = added(without, "c", [endorsed(without, "a", "c"), endorsed(without, "b", "c")]);
    expect(applyChange(without, again)).toMatchObject({ version: 3, members: { length: 3 } });
  });
});

it("follows several changes up to a version, and refuses one that is left out", () => {
  const withNew = added(abc, "new", [endorsed(abc, "a", "new"), endorsed(abc, "c", "new")]);
  const removal: RosterChange = { change: "removed", version: 3, site: "b" as SiteId };
  expect(followChanges(abc, [withNew, removal], 2).members).toHaveLength(4);
  expect(followChanges(abc, [removal, withNew], 3).members.map(({ site }) => site)).toEqual([
    "a",
    "c",
    "new",
  ]);
  expect(() => followChanges(abc, [removal], 3)).toThrow(code("protocol.invalid-message"));
});
