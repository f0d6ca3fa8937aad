import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { serialize } from "node:v8";
import { sha256 } from "@consilium/shared/canonical";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import { fingerprintLayout } from "@consilium/shared/fingerprint/masked";
import { manifestSchema } from "@consilium/shared/manifest-schema";
import { parsePlan } from "@consilium/shared/plan";
import type { MaskingShown } from "@consilium/shared/protocol/masking";
import { collect } from "@consilium/shared/secagg/coordinator/collect";
import { openAttempt, type Attempt } from "@consilium/shared/secagg/attempt";
import { meshOf } from "@consilium/shared/secagg/mesh";
import { roundLayout } from "@consilium/shared/secagg/plan-layout";
import { magnitudesOf } from "@consilium/shared/secagg/ranges";
import { advertise } from "@consilium/shared/secagg/site/advertise";
import { fixedRandom, member, openingOf, siteNames } from "@consilium/shared/secagg/testing/consortium";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SiteMasking, type MaskingLink } from "./driver.ts";
import { maskingFolder } from "./kept.ts";
import { pinsFile } from "../../governance/pins.ts";
import { RosterKeeper } from "../../governance/roster-keeper.ts";

const coordinator = createIdentity(fixedRandom("coordinator"));
const [self, ...others] = siteNames(3).map(member);
if (self === undefined) throw new Error("there are three");
const plan = parsePlan({ federation: "lungs", title: "Lungs", rounds: 5 });
const manifest = manifestSchema.parse({ tensors: [{ name: "weight", shape: [8], dtype: "float32" }] });
const layout = roundLayout(plan, 1, 3, magnitudesOf(manifest, new Float32Array(8).fill(0.25)));
const members = [self, ...others].map(({ site, identity }) => ({ site, identity: identity.public }));
const opening = (round: number, attempt: number) => openingOf(siteNames(3), { round, attempt });

/** A coordinator that shows what it should, and counts how often it is asked. */
class Shown implements MaskingLink {
  readonly session = "";
  asked = 0;
  showMasking({ round, attempt, step }: Parameters<MaskingLink["showMasking"]>[0]): Promise<MaskingShown> {
    this.asked += 1;
    if (step !== "advertise") throw new Error("no further step is played here");
    const { federation } = opening(round, attempt);
    return Promise.resolve({
      step,
      roster: sign("roster", { federation, round, attempt, version: 1, members }, coordinator),
    });
  }
}

const membership = {
  federation: opening(1, 1).federation,
  site: self.site,
  identity: self.identity,
  coordinator: coordinator.public,
};

const keysOfAll = (attempt: Attempt) =>
  [self, ...others].map((one) => advertise(attempt, one, fixedRandom(one.site)).broadcast);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-masking-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** As a process that was just started. */
function site(): SiteMasking {
  return new SiteMasking(
    {
      folder: maskingFolder(folder),
      roster: new RosterKeeper(
        {
          http: { read: () => Promise.reject(new Error("nothing has changed")) },
          pins: pinsFile(path.join(folder, "roster.json")),
          onRoster: () => undefined,
        },
        membership,
      ),
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    },
    membership,
    plan.minSites,
  );
}

/** Replaces the kept state by another, as some version of this program wrote it. */
async function keepAs(kept: object): Promise<void> {
  const body = serialize(kept);
  const file = path.join(folder, "masking", "state.bin");
  await writeFile(file, Buffer.concat([Buffer.from(sha256(body)), body]));
}

/** The attempt that was begun, with a vector ready to be sent. */
async function sealed(as: object): Promise<void> {
  const kept = await maskingFolder(folder).read();
  if (kept === null || kept === "damaged") throw new Error("a state was kept");
  await keepAs({ state: { ...kept.state, phase: "contributed" }, said: { step: "mask", masked: {} }, ...as });
  await writeFile(path.join(folder, "masking", "frame.bin"), "masked");
}

describe("a site in a masked round", () => {
  it("says the same again after a restart, without asking", async () => {
    const link = new Shown();
    const said = await site().advertise(opening(1, 1), layout, link);
    expect(await site().advertise(opening(1, 1), layout, link)).toEqual(said);
    expect(link.asked).toBe(1);
  });

  it("has fresh keys in each attempt, and never goes back to one before", async () => {
    const link = new Shown();
    const first = await site().advertise(opening(2, 1), layout, link);
    const second = await site().advertise(opening(2, 2), layout, link);
    expect(second.keys.body.pairKey).not.toBe(first.keys.body.pairKey);
    for (const [round, attempt] of [
      [2, 1],
      [1, 7],
    ] as const) {
      await expect(site().advertise(opening(round, attempt), layout, link)).rejects.toMatchObject({
        code: "secagg.other-attempt",
      });
    }
  });

  it("keeps the newest attempt's state, although work on the one before still runs when it begins", async () => {
    const link = new Shown();
    const masking = site();
    const both = [1, 2].map((attempt) => masking.advertise(opening(1, attempt), layout, link));
    await Promise.all(both);
    expect(await maskingFolder(folder).read()).toMatchObject({
      state: { attempt: { terms: { attempt: 2 } } },
    });
  });

  it("has written the state of what was begun when it is closed", async () => {
    const masking = site();
    const said = masking.advertise(opening(1, 1), layout, new Shown());
    await masking.close();
    expect(await maskingFolder(folder).read()).toMatchObject({ said: { step: "advertise" } });
    await said;
  });

  it("leaves no secret of a step behind that is over, and none to anybody else", async () => {
    const link = new Shown();
    const { keys } = await site().advertise(opening(1, 1), layout, link);
    const before = await readFile(path.join(folder, "masking", "state.bin"));
    const attempt = openAttempt(opening(1, 1), members, layout);
    const theirs = others.map((other) => advertise(attempt, other, fixedRandom(other.site)).broadcast);
    const list = collect(attempt, [keys, ...theirs]).broadcast;
    const said = await site().share(opening(1, 1), {
      session: "",
      showMasking: ({ step }) => Promise.resolve({ step: step as "share", keys: list }),
    });
    expect(said.dealing.boxes).toHaveLength(2);
    expect(await site().share(opening(1, 1), link)).toEqual(said);
    // The pair secret of the first step is nowhere in what the second one keeps.
    const kept = await maskingFolder(folder).read();
    expect(kept).toMatchObject({ state: { phase: "shared" } });
    expect(await readdir(path.join(folder, "masking"))).toEqual(["state.bin"]);
    expect((await readFile(path.join(folder, "masking", "state.bin"))).equals(before)).toBe(false);
  });

  it.each(["share", "advertise"] as const)(
    "refuses an attempt whose state is damaged when it is to %s, and may have sent something in it",
    async (step) => {
      const link = new Shown();
      await site().advertise(opening(1, 1), layout, link);
      await writeFile(path.join(folder, "masking", "state.bin"), "damaged");
      expect(await site().ready()).toBeNull();
      expect(await site().hasSentIn(1)).toBe(true);
      const answer = () =>
        step === "share" ? site().share(opening(1, 1), link) : site().advertise(opening(1, 1), layout, link);
      for (let i = 0; i < 2; i++) await expect(answer()).rejects.toMatchObject({ code: "secagg.spent" });
      // The next attempt has fresh keys, and an update that was not in the sum before.
      await site().advertise(opening(1, 2), layout, link);
      expect(await site().hasSentIn(1)).toBe(true);
      expect(await site().hasSentIn(2)).toBe(false);
    },
  );

  it("is not led through a federation again that is over", async () => {
    const link = new Shown();
    await site().advertise(opening(5, 2), layout, link);
    await site().clear();
    for (const [round, attempt] of [
      [0, 9],
      [5, 1],
    ] as const)
      await expect(site().advertise(opening(round, attempt), layout, link)).rejects.toMatchObject({
        code: "secagg.other-attempt",
      });
    await expect(site().advertise(opening(5, 2), layout, link)).rejects.toMatchObject({
      code: "secagg.spent",
    });
    expect(JSON.stringify(await maskingFolder(folder).read())).not.toContain("key");
  });

  it("gives its fingerprint into no second sum, nor where it cannot tell whether there was one", async () => {
    const link = new Shown();
    const sum = fingerprintLayout(3);
    await site().advertise(opening(0, 1), sum, link);
    await site().advertise(opening(0, 2), sum, link);
    const kept = await maskingFolder(folder).read();
    if (kept === null || kept === "damaged") throw new Error("a state was kept");
    await maskingFolder(folder).write({ ...kept, sentIn: 0 });
    await expect(site().advertise(opening(0, 3), sum, link)).rejects.toMatchObject({ code: "secagg.spent" });
    await writeFile(path.join(folder, "masking", "state.bin"), "damaged");
    for (const attempt of [3, 4])
      await expect(site().advertise(opening(0, attempt), sum, link)).rejects.toMatchObject({
        code: "secagg.spent",
      });
    await site().advertise(opening(1, 1), layout, link);
  });

  it("has sent its update from before the first byte of it leaves, voting or not, and whatever ends it then", async () => {
    await site().advertise(opening(1, 1), layout, new Shown());
    await sealed({ version: 3, sentIn: null });
    expect(await site().hasSentIn(1)).toBe(false);
    const { source } = await site().vector(opening(1, 1));
    expect(await site().hasSentIn(1)).toBe(true);
    await source.close();
    await site().advertise(opening(1, 2), layout, new Shown());
    expect(await site().hasSentIn(1)).toBe(true);
    expect(await site().hasSentIn(2)).toBe(false);
  });

  it("may have sent what an earlier version of it had sealed", async () => {
    await site().advertise(opening(1, 1), layout, new Shown());
    await sealed({ version: 2, releasedIn: null });
    expect(await site().hasSentIn(1)).toBe(true);
  });

  it("goes on from a state that was kept when there were no groups", async () => {
    await site().advertise(opening(1, 1), layout, new Shown());
    const kept = await maskingFolder(folder).read();
    if (kept === null || kept === "damaged") throw new Error("a state was kept");
    const attempt = openAttempt(opening(1, 1), members, layout);
    const { groups, ...before } = meshOf(attempt, keysOfAll(attempt));
    const state = { ...kept.state, phase: "masking", attempt, mesh: before };
    await keepAs({ version: 1, state, said: null, releasedIn: null });
    expect(await maskingFolder(folder).read()).toMatchObject({ state: { mesh: { groups } }, sentIn: null });
    expect(groups).toEqual([{ sites: siteNames(3), threshold: 2 }]);
  });

  it("sits an attempt out in which it has dealt as sites did before version 4", async () => {
    await site().advertise(opening(1, 1), layout, new Shown());
    const kept = await maskingFolder(folder).read();
    if (kept === null || kept === "damaged") throw new Error("a state was kept");
    const body = serialize({ ...kept, version: 3, said: { step: "share" } });
    const file = path.join(folder, "masking", "state.bin");
    await writeFile(file, Buffer.concat([Buffer.from(sha256(body)), body]));
    await expect(site().share(opening(1, 1), new Shown())).rejects.toMatchObject({ code: "secagg.spent" });
    await site().advertise(opening(1, 2), layout, new Shown());
  });

  it("believes no roster that the coordinator has not signed for this attempt", async () => {
    const link: MaskingLink = {
      session: "",
      showMasking: () => new Shown().showMasking({ ...opening(1, 2), step: "advertise" }),
    };
    await expect(site().advertise(opening(1, 1), layout, link)).rejects.toMatchObject({
      code: "secagg.other-attempt",
    });
  });
});
