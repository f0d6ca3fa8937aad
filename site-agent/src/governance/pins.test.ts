import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sign } from "@consilium/shared/crypto/identity";
import type { FederationId } from "@consilium/shared/ids";
import { endorsementOf, type RosterChange, type VersionedRoster } from "@consilium/shared/roster/roster";
import { member } from "@consilium/shared/secagg/testing/consortium";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pinsFile, type Pins } from "./pins.ts";

const federation = "lungs" as FederationId;
const pinned = (site: string, keysOf = site) => ({
  site: member(site).site,
  identity: member(keysOf).identity.public,
});
const roster = (version: number, ...members: ReturnType<typeof pinned>[]): VersionedRoster => ({
  federation,
  version,
  members,
});
const abc = roster(1, pinned("a"), pinned("b"), pinned("c"));
const none = (): Promise<readonly RosterChange[]> => Promise.resolve([]);

/** As it is signed by these sites for the roster of three. */
function added(site: string, ...endorsers: readonly string[]): RosterChange {
  const endorsements = endorsers.map((name) => {
    const { site: endorser, identity } = member(name);
    return sign("roster-endorsement", endorsementOf(abc, endorser, pinned(site)), identity);
  });
  return { change: "added", version: 2, ...pinned(site), endorsements };
}

let folder: string;
let pins: Pins;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-roster-"));
  pins = pinsFile(path.join(folder, "roster.json"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("pins what it sees first, and tells of each site once, in hex and in words", async () => {
  const first = await pins.accept(abc, none);
  expect(first.added.map(({ site }) => site)).toEqual(["a", "b", "c"]);
  expect(first.added[0]).toMatchObject({
    fingerprint: expect.stringMatching(/^[0-9a-f ]+$/) as string,
    words: expect.stringMatching(/^([a-z]+ ){11}[a-z]+$/) as string,
  });
  expect(await pins.accept(abc, none)).toEqual({ added: [], removed: [] });
});

it("takes a new site with the signatures of most of those it has pinned", async () => {
  await pins.accept(abc, none);
  const wider = roster(2, ...abc.members, pinned("d"));
  const news = await pins.accept(wider, () => Promise.resolve([added("d", "a", "c")]));
  expect(news.added.map(({ site }) => site)).toEqual(["d"]);
  expect(await pins.read(federation)).toMatchObject({ version: 2, members: { length: 4 } });
});

it("refuses a site that the coordinator added alone, and keeps what it had", async () => {
  await pins.accept(abc, none);
  const wider = roster(2, ...abc.members, pinned("sybil"));
  for (const changes of [[added("sybil", "a")], [added("sybil", "a", "sybil")]]) {
    await expect(pins.accept(wider, () => Promise.resolve(changes))).rejects.toMatchObject({
      code: "roster.not-endorsed",
    });
  }
  const unsaid = roster(1, ...abc.members, pinned("sybil"));
  await expect(pins.accept(unsaid, none)).rejects.toMatchObject({
    code: "secagg.roster-changed",
    culprits: ["sybil"],
  });
  expect(await pins.read(federation)).toEqual(abc);
});

it("refuses another key for a site that it knows, with or without a new version", async () => {
  await pins.accept(abc, none);
  const swapped = [pinned("a"), pinned("b", "mallory"), pinned("c")];
  for (const version of [1, 2]) {
    const removal: RosterChange = { change: "removed", version: 2, site: member("c").site };
    await expect(
      pins.accept(roster(version, ...swapped), () => Promise.resolve([removal])),
    ).rejects.toMatchObject({ code: "secagg.roster-changed" });
  }
});

it("follows a removal, and never goes back", async () => {
  await pins.accept(abc, none);
  const removal: RosterChange = { change: "removed", version: 2, site: member("c").site };
  const fewer = roster(2, pinned("a"), pinned("b"));
  const news = await pins.accept(fewer, () => Promise.resolve([removal]));
  expect(news).toEqual({ added: [], removed: ["c"] });
  await expect(pins.accept(abc, none)).rejects.toMatchObject({ code: "roster.rolled-back" });
});

it("does not take a damaged file for a first meeting", async () => {
  await writeFile(path.join(folder, "roster.json"), "{}");
  await expect(pins.accept(abc, none)).rejects.toMatchObject({ code: "config.invalid" });
});

it("begins anew in another federation", async () => {
  await pins.accept(abc, none);
  const other = { ...roster(1, pinned("x")), federation: "hearts" as FederationId };
  expect((await pins.accept(other, none)).added.map(({ site }) => site)).toEqual(["x"]);
});
