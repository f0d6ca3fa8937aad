/**
 * The coordinator's part for a hundred sites of which five are lost: frames from disk, the sum, 570 masks off it, the next
 * checkpoint. The functions are the coordinator's own. The frames are made backwards: making a hundred honest ones takes
 * minutes of one machine. One holds an encoded update minus all the masks that will be added, the others zeros, so that the sum
 * is only right if every byte of them was added and every mask exactly once.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeCheckpoint, encodeCheckpoint } from "@consilium/shared/codec";
import { siteIdSchema, type Sha256 } from "@consilium/shared/ids";
import { maskedBlocks } from "@consilium/shared/secagg/encode";
import { maskedHeader } from "@consilium/shared/secagg/frame";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { consortium, siteNames } from "@consilium/shared/secagg/testing/consortium";
import { ArrivedSum } from "../../coordinator/src/aggregation/arrived-sum.ts";
import { foldMaskedRound, type MaskedFoldJob } from "../../coordinator/src/aggregation/fold-masked.ts";
import { addMasksInThreads } from "../../coordinator/src/aggregation/mask-threads.ts";
import { openFileBlobs } from "../../coordinator/src/blobs/fs.ts";

export interface Seconds {
  readonly wall: number;
  /** Processor time of all threads. */
  readonly core: number;
}

export interface CoordinatorSeconds {
  /** Of one core, for hashing one vector and adding it while it arrives. */
  readonly arrivalCore: number;
  /** From the last release to the next checkpoint. */
  readonly opening: Seconds;
  /** The same in a coordinator that was started again since, and reads the vectors once more. */
  readonly restarted: Seconds;
}

/** The fastest counts: the first ones find nothing compiled. */
const ARRIVALS = 4;

const METRICS = {
  "metric:loss": [1],
  "metric:finalLoss": [1],
  "metric:updateNorm": [1],
  "metric:steps": [9],
};

/** @throws if the checkpoint that comes out is not the one that had to come out */
export async function coordinatorRound(
  parameters: number,
  { sites, lost }: { readonly sites: number; readonly lost: number },
  log: (line: string) => void,
): Promise<CoordinatorSeconds> {
  const folder = await mkdtemp(path.join(tmpdir(), "consilium-bench-secagg-"));
  try {
    return await inFolder(folder, parameters, { sites, lost }, log);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function inFolder(
  folder: string,
  parameters: number,
  { sites, lost }: { readonly sites: number; readonly lost: number },
  log: (line: string) => void,
): Promise<CoordinatorSeconds> {
  const layout = vectorLayoutSchema.parse({
    sites,
    examplesCap: 1000,
    tensors: [{ name: "weight", length: parameters, bound: 0.05 }],
    extras: [
      { kind: "real", name: "metric:loss", length: 1, bound: 256, weighted: true },
      { kind: "real", name: "metric:finalLoss", length: 1, bound: 256, weighted: true },
      { kind: "real", name: "metric:updateNorm", length: 1, bound: 1024, weighted: true },
      { kind: "count", name: "metric:steps", length: 1, most: 100_000 },
    ],
  });
  const { attempt } = consortium(layout);
  const survivors = siteNames(sites - lost).map((site) => siteIdSchema.parse(site));
  const removals = Array.from({ length: survivors.length * (1 + lost) }, (_, i): MaskTerm => ({
    key: new Uint8Array(randomBytes(32)),
    sign: i < survivors.length || i % 2 === 0 ? -1 : 1,
  }));
  const blobs = await openFileBlobs(path.join(folder, "blobs"));
  const update = Float32Array.from({ length: parameters }, (_, i) => 0.04 * Math.sin(i));
  const values = { update, examples: 1000, extras: METRICS, roundingKey: new Uint8Array(randomBytes(32)) };

  log("frames, made backwards");
  const vector = new Uint8Array(new SharedArrayBuffer(geometryOf(layout).totalBytes));
  for (const { offset, bytes } of maskedBlocks(layout, values, [])) vector.set(bytes, offset);
  const opposite = removals.map(({ key, sign }): MaskTerm => ({ key, sign: sign === 1 ? -1 : 1 }));
  await addMasksInThreads(layout, opposite, vector.buffer);
  const header = maskedHeader(attempt, layout);
  const { sha256: full } = await blobs.write([header, vector]);
  const { sha256: empty } = await blobs.write([header, vector.fill(0)]);
  const manifest = { tensors: [{ name: "weight", shape: [parameters], dtype: "float32" as const }] };
  const base = await blobs.write([encodeCheckpoint({ manifest, values: new Float32Array(parameters) })]);

  log(`${sites} sites, ${lost} lost: ${survivors.length} frames, ${removals.length} masks`);
  const frames = survivors.map((site, i) => ({ site, sha256: i === 0 ? full : empty }));
  // The same zeros are on the disk once, and in the sum once: it is what all of them give.
  const different = frames.slice(0, 2);
  let arrived = new ArrivedSum();
  let arrivalCore = Infinity;
  for (let turn = 0; turn < ARRIVALS; turn++) {
    arrived = new ArrivedSum();
    const { core } = await timed(async () => {
      for (const { sha256 } of different) await arrived.add({ attempt, layout }, sha256, blobs.read(sha256));
    });
    arrivalCore = Math.min(arrivalCore, core / different.length);
  }
  const unmasking = { phase: "unmasking", survivors, removals } as const;
  const jobOf = (of: typeof frames): MaskedFoldJob => ({
    attempt,
    layout,
    base: base.sha256,
    strategy: { name: "fedavg" },
    serverState: null,
    sums: [{ frames: of, unmasking }],
  });
  const folded = async (from: MaskedFoldJob, sum: ArrivedSum): Promise<Seconds> => {
    const next: { sha256?: Sha256 } = {};
    const taken = await timed(async () => {
      next.sha256 = (await foldMaskedRound(from, blobs, sum)).sha256;
    });
    if (next.sha256 !== undefined) await assertMean(blobs.read(next.sha256), update);
    return taken;
  };
  return {
    arrivalCore,
    opening: await folded(jobOf(different), arrived),
    restarted: await folded(jobOf(frames), new ArrivedSum()),
  };
}

async function timed(work: () => Promise<void>): Promise<Seconds> {
  const before = process.cpuUsage();
  const startMs = performance.now();
  await work();
  const wall = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { wall, core: (user + system) / 1e6 };
}

/** One site's update divided by its own weight, and nothing of the others'. */
async function assertMean(checkpoint: AsyncIterable<Uint8Array>, update: Float32Array): Promise<void> {
  const pieces: Uint8Array[] = [];
  for await (const piece of checkpoint) pieces.push(piece);
  const { values } = decodeCheckpoint(Buffer.concat(pieces));
  const wrong = values.findIndex((value, i) => Math.abs(value - (update[i] ?? NaN)) > 1e-7);
  if (wrong >= 0) throw new Error("the sum is not the one that was put in");
}
