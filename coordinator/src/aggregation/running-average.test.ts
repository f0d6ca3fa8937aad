import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeCheckpoint, encodeCheckpoint } from "@consilium/shared/codec";
import type { Sha256 } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { readCheckpointHead } from "./checkpoint-stream.ts";
import { newestWeight, writeAverage } from "./running-average.ts";

let folder: string;
let blobs: Blobs;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-average-"));
  blobs = await openFileBlobs(folder);
});
afterAll(() => rm(folder, { recursive: true }));

async function stored(values: Float32Array): Promise<Sha256> {
  const manifest: Manifest = { tensors: [{ name: "w", shape: [values.length], dtype: "float32" }] };
  return (await blobs.write([encodeCheckpoint({ manifest, values })])).sha256;
}

async function valuesOf(name: Sha256): Promise<Float32Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of blobs.read(name)) pieces.push(piece);
  return decodeCheckpoint(Buffer.concat(pieces)).values;
}

/** The last average of models in a row, as the coordinator makes them round by round. */
async function averageOf(models: readonly Float32Array[], decay: number): Promise<Sha256> {
  let before: Sha256 | null = null;
  for (const [i, values] of models.entries()) {
    const model = await stored(values);
    const head = await readCheckpointHead(blobs.read(model));
    before =
      before === null ? model : await writeAverage({ decay, before, models: i + 1 }, model, blobs, head);
  }
  if (before === null) throw new Error("an average of nothing");
  return before;
}

describe("the running average of global models", () => {
  it("is the sum of models, each weighing `decay` times the next one, and the same bits each time", async () => {
    const vector = fc.array(fc.float({ noNaN: true, min: -100, max: 100 }), { minLength: 3, maxLength: 3 });
    const cases = fc.tuple(
      fc.array(vector, { minLength: 1, maxLength: 6 }),
      fc.constantFrom(0.1, 0.5, 0.9, 0.9999),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([rows, decay]) => {
        const models = rows.map((row) => Float32Array.from(row));
        const name = await averageOf(models, decay);
        expect(await averageOf(models, decay)).toBe(name);
        const weights = models.map((_, i) => decay ** (models.length - 1 - i));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [j, value] of (await valuesOf(name)).entries()) {
          const exact = models.reduce(
            (sum, model, i) => sum + ((weights[i] ?? 0) * (model[j] ?? NaN)) / total,
            0,
          );
          expect(Math.abs(value - exact)).toBeLessThan(1e-4);
        }
      }),
      { numRuns: 25 },
    );
  });

  it("begins as a plain mean, and forgets its beginning", () => {
    expect([1, 2].map((models) => newestWeight(0.9999, models))).toEqual([1, expect.closeTo(0.5, 3)]);
    expect(newestWeight(0.9, 200)).toBeCloseTo(0.1, 8);
  });

  it("is not made of an object that has changed on the disk", async () => {
    const before = await stored(Float32Array.of(1, 2, 3));
    const model = await stored(Float32Array.of(4, 5, 6));
    const head = await readCheckpointHead(blobs.read(model));
    const names = await readdir(folder, { recursive: true });
    const file = path.join(folder, names.find((name) => path.basename(name) === before) ?? "");
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(file, bytes);
    await expect(writeAverage({ decay: 0.9, before, models: 2 }, model, blobs, head)).rejects.toMatchObject({
      code: "hash.mismatch",
      culprits: ["coordinator"],
    });
  });
});
