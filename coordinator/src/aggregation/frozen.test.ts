/** Folding updates that lack a model's frozen beginning: the rest as if it were a model of its own, the beginning as it was. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeCheckpoint, encodeCheckpoint, encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity } from "@consilium/shared/crypto/identity";
import type { Attempt, Round, Sha256 } from "@consilium/shared/ids";
import { addProduct, drawFactor } from "@consilium/shared/low-rank";
import type { Manifest } from "@consilium/shared/manifest";
import type { StrategyPlan } from "@consilium/shared/strategy-schema";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { seeded } from "../testing/coordinator.ts";
import { federation, siteId } from "../testing/values.ts";
import { readCheckpointHead } from "./checkpoint-stream.ts";
import { fold } from "./fold.ts";
import { writeNext } from "./next-checkpoint.ts";

const next = seeded(3);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);
let folder: string;
let blobs: Blobs;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-frozen-"));
  blobs = await openFileBlobs(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const FROZEN = ["cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight"];
const layout = (names: readonly string[], sizes: readonly number[]): Manifest => ({
  tensors: names.map((name, i) => ({ name, shape: [sizes[i] ?? 1], dtype: "float32" })),
});
const length = ({ tensors }: Manifest): number =>
  tensors.reduce((sum, { shape: [size = 0] }) => sum + size, 0);
const floats = (count: number): Float32Array => Float32Array.from({ length: count }, () => next() - 0.5);

async function stored(manifest: Manifest, values: Float32Array): Promise<Sha256> {
  return (await blobs.write([encodeCheckpoint({ manifest, values })])).sha256;
}

async function valuesOf(name: Sha256): Promise<Float32Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of blobs.read(name)) pieces.push(piece);
  return decodeCheckpoint(Buffer.concat(pieces)).values;
}

it("moves what is behind them as a model of its own, whatever the strategy remembers", async () => {
  const strategies: StrategyPlan[] = [
    { name: "fedavg" },
    { name: "fedavgm", learningRate: 1, momentum: 0.9 },
    { name: "fedadam", learningRate: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
  ];
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 5, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.constantFrom(...strategies), async (all, strategy) => {
      const whole = layout([...FROZEN, "blocks.1.norm1.weight", "norm.bias"], all);
      const rest: Manifest = { tensors: whole.tensors.slice(3) };
      const values = floats(length(whole));
      const offset = values.length - length(rest);
      let [base, alone] = [await stored(whole, values), await stored(rest, values.slice(offset))];
      let state: Sha256 | null = null;
      let aloneState: Sha256 | null = null;
      for (let round = 0; round < 3; round++) {
        const mean = floats(length(rest));
        const made = await writeNext(
          { base, strategy, serverState: state, training: { frozenBlocks: 1 } },
          blobs,
          await readCheckpointHead(blobs.read(base)),
          mean,
        );
        const small = await writeNext(
          { base: alone, strategy, serverState: aloneState },
          blobs,
          await readCheckpointHead(blobs.read(alone)),
          mean,
        );
        [base, alone, state, aloneState] = [made.sha256, small.sha256, made.serverState, small.serverState];
      }
      const after = await valuesOf(base);
      expect(after.subarray(0, offset)).toEqual(values.subarray(0, offset));
      expect(after.subarray(offset)).toEqual(await valuesOf(alone));
      expect(state).toBe(aloneState);
    }),
    { numRuns: 20 },
  );
});

it("takes updates of what is trained, and of nothing more", async () => {
  const reader = createIdentity(random);
  const whole = layout([...FROZEN, "norm.bias"], [2, 3, 2, 4]);
  const rest: Manifest = { tensors: whole.tensors.slice(3) };
  const values = floats(11);
  const place = { federation, round: 1 as Round, attempt: 1 as Attempt };
  const folded = async (manifest: Manifest, update: Float32Array) => {
    const context = { kind: "update", ...place, site: "a" };
    const sealed = seal(encodeUpdate(manifest, update), { reader: reader.public, context, random });
    const { sha256: sealedSha256 } = await blobs.write([sealed]);
    const contributions = [{ site: siteId("a"), examples: 3, sealedSha256 }];
    const base = await stored(whole, values);
    const job = {
      ...place,
      base,
      strategy: { name: "fedavg" },
      serverState: null,
      training: { frozenBlocks: 1 },
    } as const;
    return valuesOf((await fold({ ...job, contributions }, blobs, reader)).sha256);
  };
  const update = floats(4);
  const after = await folded(rest, update);
  expect(after).toEqual(values.map((value, i) => value + (update[i - 7] ?? 0)));
  await expect(folded(whole, floats(11))).rejects.toMatchObject({
    code: "manifest.mismatch",
    culprits: ["a"],
  });
});

const QKV = "blocks.1.attn.qkv.weight";
const lowRank = { rank: 2, alpha: 4 };

it("moves a matrix of low rank by the product of its factors, as if those were kept from round to round", async () => {
  const strategies: StrategyPlan[] = [
    { name: "fedavg" },
    { name: "fedavgm", learningRate: 1, momentum: 0.9 },
    { name: "fedadam", learningRate: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
  ];
  const draw = { seed: 5, ...lowRank };
  const training = { frozenBlocks: 1, lowRank };
  const before = layout(FROZEN, [2, 3, 2]).tensors;
  const matrix = { name: QKV, shape: [300, 900], dtype: "float32" } as const; // More than one piece of a stream.
  const whole: Manifest = { tensors: [...before, matrix, ...layout(["norm.bias"], [4]).tensors] };
  const values = floats(7 + 270_000 + 4);
  const sent: Manifest = { tensors: layout(["factor", "norm.bias"], [1800, 4]).tensors };
  for (const strategy of strategies) {
    const start = new Float32Array(1804);
    start.set(values.subarray(-4), 1800);
    let [base, factors] = [await stored(whole, values), await stored(sent, start)];
    let state: Sha256 | null = null;
    let factorState: Sha256 | null = null;
    for (let round = 0; round < 3; round++) {
      const mean = floats(1804);
      const job = { base, strategy, serverState: state, training, draw };
      const made = await writeNext(job, blobs, await readCheckpointHead(blobs.read(base)), mean);
      const kept = await writeNext(
        { base: factors, strategy, serverState: factorState },
        blobs,
        await readCheckpointHead(blobs.read(factors)),
        mean,
      );
      [base, factors, state, factorState] = [made.sha256, kept.sha256, made.serverState, kept.serverState];
    }
    const [after, kept] = [await valuesOf(base), await valuesOf(factors)];
    const expected = values.slice();
    const product = { drawn: drawFactor(draw, QKV, 300), factor: kept.subarray(0, 1800), rank: 2 };
    addProduct(expected.subarray(7, -4), 0, product);
    expected.set(kept.subarray(1800), expected.length - 4);
    expect(after.subarray(0, 7)).toEqual(values.subarray(0, 7));
    // Each round rounds to float32.
    expect(after.findIndex((value, i) => Math.abs(value - (expected[i] ?? NaN)) > 1e-5)).toBe(-1);
    expect(state).toBe(factorState);
  }
});
