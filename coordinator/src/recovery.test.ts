/** The coordinator goes away at the worst moments and comes back on the same home. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { verifyChain } from "@consilium/shared/audit/chain";
import { sha256 } from "@consilium/shared/canonical";
import { afterEach, describe, expect, it } from "vitest";
import { readAuditLines } from "./audit/file.ts";
import type { Coordinator } from "./app.ts";
import { Bench, seeded, testPlan } from "./testing/coordinator.ts";
import { isOpen, type FakeSite, type SealedContribution } from "./testing/fake-site.ts";

let bench = new Bench();
afterEach(async () => {
  await bench.end();
  bench = new Bench();
});
const next = seeded(21);
const CHUNK_BYTES = 1024;

/** Two sites, connected, in round 1. */
async function openRound(coordinator: Coordinator): Promise<readonly [FakeSite, FakeSite]> {
  const north = await bench.site(coordinator, "north");
  const south = await bench.site(coordinator, "south", { examples: 30 });
  await north.connect();
  await south.connect();
  await north.uploadGenesis();
  await Promise.all([north, south].map((site) => site.waitFor(isOpen(1))));
  return [north, south];
}

async function contributionTo(site: FakeSite, round: number): Promise<SealedContribution> {
  const { opening } = await site.waitFor(isOpen(round));
  return site.contribution(opening.body, site.randomUpdate(next));
}

async function beginUpload(site: FakeSite, header: SealedContribution["header"]) {
  const begun = await site.begin({ kind: "contribution", header }, CHUNK_BYTES);
  if ("outcome" in begun) throw new Error("it is wanted");
  return begun;
}

/** Puts other bytes where the coordinator keeps these. */
async function spoilBlob(home: string, kept: Uint8Array, bytes: Uint8Array | string): Promise<void> {
  const name = sha256(kept);
  await writeFile(path.join(home, "blobs", "sha256", name.slice(0, 2), name), bytes);
}

async function follow(site: FakeSite, url: string): Promise<void> {
  site.disconnect();
  site.url = url;
  await site.connect();
}

describe("a coordinator that is started again on the same home", () => {
  it("goes on with the round it was in, keeps what it acknowledged, and counts it once", async () => {
    const home = await bench.home();
    const first = await bench.start({ home });
    const [north, south] = await openRound(first);
    const kept = await contributionTo(north, 1);
    expect(await north.contribute(kept)).toBe("accepted");
    await bench.stop(first);

    const second = await bench.start({ home, plan: undefined });
    await follow(north, second.url);
    await follow(south, second.url);
    expect(await north.waitFor(isOpen(1))).toMatchObject({ contributed: true });
    expect(await north.contribute(kept)).toBe("duplicate");
    expect(await south.contribute(await contributionTo(south, 1))).toBe("accepted");
    await north.waitFor(isOpen(2));
    const [round] = second.federations.get("chest").status().history;
    expect(round?.contributions.map(({ site }) => site)).toEqual(["north", "south"]);
    expect(second.federations.get("chest").status().sites).toMatchObject([
      { site: "north", contributions: 1, receivedBytes: kept.sealed.length },
      { site: "south", contributions: 1 },
    ]);
  });

  it("still has the chunks of an upload that was cut off", async () => {
    const home = await bench.home();
    const first = await bench.start({ home });
    const [north] = await openRound(first);
    const { header, sealed } = await contributionTo(north, 1);
    const begun = await beginUpload(north, header);
    await north.sendChunk(begun, sealed, 1);
    await bench.stop(first);

    const second = await bench.start({ home });
    await follow(north, second.url);
    const resumed = await beginUpload(north, header);
    expect(resumed).toEqual({ ...begun, have: Buffer.of(0b10).toString("base64url") });
    expect(await north.contribute({ header, sealed })).toBe("accepted");
  });

  it("does the same when it was cut off between the bytes and the row of a contribution", async () => {
    const home = await bench.home();
    const first = await bench.start({ home });
    const [north] = await openRound(first);
    const { header, sealed } = await contributionTo(north, 1);
    const begun = await beginUpload(north, header);
    for (let seq = 0; seq * CHUNK_BYTES < sealed.length; seq++) await north.sendChunk(begun, sealed, seq);
    await bench.stop(first);
    const { openFileBlobs } = await import("./blobs/fs.ts");
    const blobs = await openFileBlobs(path.join(home, "blobs"));
    await (await blobs.stage(begun.upload as Parameters<typeof blobs.stage>[0])).promote(sha256(sealed));

    const second = await bench.start({ home });
    await follow(north, second.url);
    expect(await north.contribute({ header, sealed })).toBe("accepted");
  });

  it.each([
    ["lost", () => "torn"],
    [
      "changed",
      (sealed: Uint8Array) => {
        const flipped = Uint8Array.from(sealed);
        flipped[100] = (flipped[100] ?? 0) ^ 1;
        return flipped;
      },
    ],
  ])("asks again for a contribution that the disk has %s", async (_how, spoiled) => {
    const home = await bench.home();
    const first = await bench.start({ home });
    const [north] = await openRound(first);
    const kept = await contributionTo(north, 1);
    await north.contribute(kept);
    await bench.stop(first);
    await spoilBlob(home, kept.sealed, spoiled(kept.sealed));

    const second = await bench.start({ home });
    await follow(north, second.url);
    expect(await north.waitFor(isOpen(1))).toMatchObject({ contributed: false });
    expect(await north.contribute(kept)).toBe("accepted");
  });

  it("leaves out a contribution whose bytes have changed, and says why", async () => {
    const home = await bench.home();
    const first = await bench.start({ home, plan: testPlan({ minSites: 1 }), gatherMs: 2000 });
    const [north, south] = await openRound(first);
    const kept = await contributionTo(north, 1);
    await north.contribute(kept);
    const flipped = Uint8Array.from(kept.sealed);
    flipped[100] = (flipped[100] ?? 0) ^ 1;
    await spoilBlob(home, kept.sealed, flipped);
    await south.contribute(await contributionTo(south, 1));
    await south.waitFor(isOpen(2));
    const [round] = first.federations.get("chest").status().history;
    expect(round?.excluded).toEqual([{ site: "north", reason: "envelope.invalid" }]);
    expect(round?.contributions.map(({ site }) => site)).toEqual(["south"]);
  });

  it("keeps no update once its round is averaged", async () => {
    const home = await bench.home();
    const first = await bench.start({ home, plan: testPlan({ rounds: 1 }) });
    const [north, south] = await openRound(first);
    const contributions = [await contributionTo(north, 1), await contributionTo(south, 1)];
    await north.contribute(contributions[0] as SealedContribution);
    await south.contribute(contributions[1] as SealedContribution);
    const { checkpoint } = await north.waitFor((position) => position.phase === "finished");
    await bench.stop(first);
    const second = await bench.start({ home, plan: undefined });
    const files = await readdir(path.join(home, "blobs"), { recursive: true, withFileTypes: true });
    const names = files.filter((file) => file.isFile()).map(({ name }) => name);
    expect(names.sort()).toEqual([sha256(north.model.genesis), checkpoint.body.sha256].sort());
    await follow(north, second.url);
    expect(await north.waitFor((position) => position.phase === "finished")).toMatchObject({ checkpoint });
    expect(verifyChain(await readAuditLines(path.join(home, "audit.jsonl")))).toMatchObject({ ok: true });
  });

  it("refuses another plan for the same federation, and a second coordinator", async () => {
    const home = await bench.home();
    const first = await bench.start({ home });
    await expect(bench.start({ home })).rejects.toMatchObject({ code: "home.in-use" });
    await bench.stop(first);
    await expect(bench.start({ home, plan: testPlan({ rounds: 9 }) })).rejects.toMatchObject({
      code: "plan.mismatch",
    });
    await bench.start({ home });
  });
});

describe("a round whose deadline passes", () => {
  it("is tried again with fresh bytes when too few have contributed", async () => {
    const home = await bench.home();
    const coordinator = await bench.start({ home, plan: testPlan({ roundDeadlineMs: 1000 }) });
    const [north, south] = await openRound(coordinator);
    const first = await contributionTo(north, 1);
    await north.contribute(first);
    const { opening } = await north.waitFor(isOpen(1, 2));
    expect(await north.contribute(first)).toBe("duplicate");
    for (const site of [north, south]) {
      await site.waitFor(isOpen(1, 2));
      await site.contribute(site.contribution(opening.body, site.randomUpdate(next)));
    }
    await north.waitFor(isOpen(2));
    const { history } = coordinator.federations.get("chest").status();
    expect(history[0]).toMatchObject({
      attempt: 1,
      checkpoint: null,
      excluded: [{ site: "south", reason: "no update before the deadline" }],
    });
    expect(history[1]?.checkpoint).not.toBeNull();
  });
});

describe("a coordinator that is killed with SIGKILL", () => {
  it("has everything it acknowledged when it is started again", async () => {
    const home = await bench.home();
    const planFile = path.join(home, "plan.json");
    await writeFile(planFile, JSON.stringify(testPlan()));
    const bin = path.resolve(import.meta.dirname, "../bin/consilium-coordinator.mjs");
    const args = [
      bin,
      "serve",
      "--home",
      home,
      "--port",
      "0",
      "--plan",
      planFile,
      "--gather-ms",
      "0",
      "--json",
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { url, dashboardUrl } = JSON.parse(line) as { url: string; dashboardUrl: string };
    const operatorToken = new URL(dashboardUrl).searchParams.get("token") ?? "";
    const [north, south] = await openRound({ url, operatorToken } as Coordinator);
    const whole = await contributionTo(north, 1);
    expect(await north.contribute(whole)).toBe("accepted");
    const half = await contributionTo(south, 1);
    const begun = await beginUpload(south, half.header);
    await south.sendChunk(begun, half.sealed, 0);
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;

    const second = await bench.start({ home });
    await follow(north, second.url);
    await follow(south, second.url);
    expect(await north.contribute(whole)).toBe("duplicate");
    const resumed = await beginUpload(south, half.header);
    expect(resumed).toEqual({ ...begun, have: Buffer.of(1).toString("base64url") });
    expect(await south.contribute(half)).toBe("accepted");
    await south.waitFor(isOpen(2));
    expect(verifyChain(await readAuditLines(path.join(home, "audit.jsonl")))).toMatchObject({ ok: true });
  });
});
