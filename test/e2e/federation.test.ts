/**
 * One federation of real processes, in which a site and the coordinator are killed mid-round, while everything that the
 * sites send is captured. The tests then look at what came of it.
 */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { PlanInput } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Cli, Exit, JsonLine } from "../support/cli.ts";
import { Consortium, SITES } from "../support/consortium.ts";
import { entropyPerByte } from "../support/entropy.ts";

const plan = {
  federation: "lungs",
  title: "Phantom lungs",
  rounds: 4,
  minSites: 3,
  cachePx: 48,
  model: { size: "nano", imagePx: 32, patchPx: 8 },
  pretext: { task: "mae", decoder: { width: 32, depth: 1, heads: 2 } },
  training: { localEpochs: 16, batchSize: 8 },
  aggregation: { examplesCap: 32 },
} as PlanInput;

const phaseIn = (phase: string, round: number) => (line: JsonLine) =>
  line["event"] === "progress" && line["phase"] === phase && line["round"] === round;

let consortium: Consortium;
let exits: Exit[];
let status: FederationStatus;
let statusAfterRestart: FederationStatus;

beforeAll(async () => {
  consortium = await Consortium.create(plan, 24);
  const [a, b, c] = SITES.map((site) => consortium.run(site)) as [Cli, Cli, Cli];

  // A site dies while it shares its keys, while it trains, and while it signs; each time it comes back. The first time the
  // coordinator dies with it, before there is a sum of what the images are like.
  const lives = [b];
  for (const [phase, round] of [
    ["sharing", 0],
    ["training", 2],
    ["voting", 2],
  ] as const) {
    const life = lives.at(-1) ?? b;
    await life.waitFor(phaseIn(phase, round));
    await life.kill("SIGKILL");
    if (round === 0) {
      await consortium.killCoordinator();
      await consortium.restartCoordinator();
    }
    lives.push(consortium.run("hospital-b"));
  }

  // The network is cut for everyone, then the coordinator dies while the sites train, and again while the sum is opened.
  await c.waitFor(phaseIn("training", 3));
  consortium.proxy.cut();
  await consortium.killCoordinator();
  await consortium.restartCoordinator();
  statusAfterRestart = await consortium.status();
  await c.waitFor(phaseIn("releasing", 3));
  await consortium.killCoordinator();
  await consortium.restartCoordinator();

  exits = await Promise.all([a, lives.at(-1) ?? b, c].map(({ exited }) => exited));
  status = await consortium.status();
}, 400_000);

afterAll(() => consortium.close());

describe("a federation whose site and coordinator are killed mid-round", () => {
  it("finishes every round, each once, with every site", () => {
    expect(exits).toEqual(Array(3).fill({ code: 0, signal: null }));
    expect(status.phase).toBe("finished");
    expect(status.history.filter(({ checkpoint }) => checkpoint !== null).map(({ round }) => round)).toEqual([
      1, 2, 3, 4,
    ]);
    for (const { contributions } of status.history)
      expect(contributions.map(({ site }) => site).sort()).toEqual([...SITES]);
  });

  it("opens each sum once, without another attempt", () => {
    expect(status.history.map(({ round, attempt }) => `${round}.${attempt}`)).toEqual([
      "1.1",
      "2.1",
      "3.1",
      "4.1",
    ]);
    expect(status.history.map(({ totals }) => totals?.clipped)).toEqual([0, 0, 0, 0]);
    for (const { contributions } of status.history)
      expect(contributions.every(({ metrics, examples }) => metrics === null && examples === null)).toBe(
        true,
      );
  });

  it("knows before round 1 what all images together are like, and that they are alike", () => {
    expect(status.cohort).toMatchObject({ sites: 3, givenUp: null });
    expect(status.images.map(({ site, verdict }) => [site, verdict])).toEqual(
      SITES.map((site) => [site, "like the others"]),
    );
  });

  it("resumes at the round it was in", () => {
    expect(statusAfterRestart.round).toBe(3);
  });

  it("leaves the same global model at every site", async () => {
    const models = await Promise.all(
      SITES.map((site) => readFile(path.join(consortium.home(site), "models/global.ckpt"))),
    );
    expect(new Set(models.map((model) => model.toString("base64"))).size).toBe(1);
  });

  it("says at every site, in the signed record, on how many images of all sites its last round trained", async () => {
    const examples = status.history.at(-1)?.totals?.examples ?? NaN;
    const record = await readFile(path.join(consortium.home("hospital-a"), "models/global.json"), "utf8");
    expect(JSON.parse(record)).toMatchObject({
      record: { body: { images: Number(examples.toPrecision(2)) } },
    });
  });

  it("learns", () => {
    const losses = status.history.map(({ loss }) => loss ?? NaN);
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? NaN);
  });
});

describe("a capture of everything the sites sent", () => {
  it("holds the uploads of every round", () => {
    const uploads = status.sites.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
    expect(uploads).toBeGreaterThan(1_000_000);
    expect(consortium.proxy.capturedBinary().length).toBeGreaterThanOrEqual(uploads);
  });

  it("holds nothing identifying: no CANARY, no file name, no image or patient id", async () => {
    const captured = consortium.proxy.captured();
    for (const needle of await identifiers()) expect(captured.includes(needle), needle).toBe(false);
  });

  it("holds no plaintext weights: its bytes are as even as noise, which weights are not", () => {
    const bits = (bytes: Buffer) => entropyPerByte(bytes);
    const captured = consortium.proxy.capturedBinary();
    // Window by window, so that one plain object among sealed ones cannot hide in the mean.
    for (let at = 0; at + WINDOW_BYTES <= captured.length; at += WINDOW_BYTES)
      expect(bits(captured.subarray(at, at + WINDOW_BYTES))).toBeGreaterThan(7.98);
    const weights = Float32Array.from({ length: 300_000 }, (_, i) => Math.sin(i) / 50);
    expect(bits(Buffer.from(weights.buffer))).toBeLessThan(7.9);
  });
});

it("writes nothing identifying into any log", async () => {
  const output = consortium.output();
  for (const needle of await identifiers()) expect(output.includes(needle), needle).toBe(false);
});

it("keeps nothing identifying in any site's home", async () => {
  const needles = await identifiers();
  for (const site of SITES) {
    for (const file of await filesBelow(consortium.home(site))) {
      const content = await readFile(file);
      for (const needle of needles) expect(content.includes(needle), path.basename(file)).toBe(false);
    }
  }
});

/** Words that occur in the sites' DICOM, and must occur nowhere else. */
async function identifiers(): Promise<string[]> {
  const needles = ["CANARY", "Canary"];
  for (const site of SITES) {
    const labels = await readFile(path.join(consortium.images(site), "labels.csv"), "utf8");
    const rows = labels
      .trim()
      .split("\n")
      .slice(1)
      .map((row) => row.split(","));
    needles.push(...rows.flatMap(([uid = "", patient = ""]) => [uid, patient]));
    const files = await filesBelow(path.join(consortium.images(site), "dicom"));
    needles.push(...files.map((file) => path.basename(file)));
  }
  return needles;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

/** Even noise falls some 0.003 bits short of 8 in so few bytes. */
const WINDOW_BYTES = 64 * 1024;
