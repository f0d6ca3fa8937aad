import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { decodeCheckpoint, encodeCheckpoint, encodeUpdate } from "@consilium/shared/codec";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Attempt, Round } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { seeded } from "../testing/coordinator.ts";
import { federation, siteId } from "../testing/values.ts";
import { fold, type FoldJob } from "./fold.ts";

const next = seeded(11);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);
const reader = createIdentity(random);
const place = { federation, round: 3 as Round, attempt: 2 as Attempt };

let folder: string;
let blobs: Blobs;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-fold-"));
  blobs = await openFileBlobs(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const layout = (...sizes: readonly number[]): Manifest => ({
  tensors: sizes.map((size, i) => ({ name: `tensor ${i}`, shape: [size], dtype: "float32" })),
});

interface Update {
  readonly site: string;
  readonly examples: number;
  readonly frame: Uint8Array;
  readonly chunkBytes?: number;
}

async function jobFor(manifest: Manifest, base: Float32Array, updates: readonly Update[]): Promise<FoldJob> {
  const { sha256: baseName } = await blobs.write([encodeCheckpoint({ manifest, values: base })]);
  const contributions = [];
  for (const { site, examples, frame, chunkBytes } of updates) {
    const context = { kind: "update", ...place, site };
    const options = { reader: reader.public, context, random };
    const sealed = seal(frame, chunkBytes === undefined ? options : { ...options, chunkBytes });
    const { sha256: sealedSha256 } = await blobs.write([sealed]);
    contributions.push({ site: siteId(site), examples, sealedSha256 });
  }
  return { ...place, base: baseName, strategy: { name: "fedavg" }, serverState: null, contributions };
}

async function foldValues(job: FoldJob): Promise<Float32Array> {
  const { sha256 } = await fold(job, blobs, reader);
  const pieces: Uint8Array[] = [];
  for await (const piece of blobs.read(sha256)) pieces.push(piece);
  return decodeCheckpoint(Buffer.concat(pieces)).values;
}

describe("the streaming fold", () => {
  it("equals a plain weighted mean, however the bytes are cut", async () => {
    const weights = fc.float({ noNaN: true, min: -100, max: 100 });
    const cases = fc
      .tuple(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 5 }),
      )
      .chain(([sizes, sites]) => {
        const length = sizes.reduce((sum, size) => sum + size, 0);
        const vector = fc.array(weights, { minLength: length, maxLength: length });
        const update = fc.record({
          examples: fc.integer({ min: 1, max: 10_000 }),
          values: vector,
          chunkBytes: fc.integer({ min: 1, max: 200 }),
        });
        return fc.record({
          sizes: fc.constant(sizes),
          base: vector,
          updates: fc.array(update, { minLength: sites, maxLength: sites }),
        });
      });
    await fc.assert(
      fc.asyncProperty(cases, async ({ sizes, base, updates }) => {
        const manifest = layout(...sizes);
        const frames = updates.map(({ examples, values, chunkBytes }, i) => ({
          site: `site-${i}`,
          examples,
          chunkBytes,
          frame: encodeUpdate(manifest, Float32Array.from(values)),
        }));
        const folded = await foldValues(await jobFor(manifest, Float32Array.from(base), frames));
        const total = updates.reduce((sum, { examples }) => sum + examples, 0);
        for (const [i, weight] of base.entries()) {
          const mean = updates.reduce(
            (sum, { examples, values }) => sum + (examples * (values[i] ?? NaN)) / total,
            0,
          );
          expect(folded[i]).toBeCloseTo(weight + mean, 3);
          expect(Math.abs((folded[i] ?? NaN) - Math.fround(weight + mean))).toBeLessThanOrEqual(2e-5);
        }
      }),
      { numRuns: 15 },
    );
  });

  it("gives the same bits each time", async () => {
    const manifest = layout(1000);
    const vector = () => Float32Array.from({ length: 1000 }, () => next() - 0.5);
    const updates = ["a", "b", "c"].map((site) => ({
      site,
      examples: 7,
      frame: encodeUpdate(manifest, vector()),
    }));
    const job = await jobFor(manifest, vector(), updates);
    expect(await fold(job, blobs, reader)).toEqual(await fold(job, blobs, reader));
  });

  it("reads updates abreast, and more than once, where a strategy asks for it", async () => {
    const manifest = layout(40, 60);
    const vector = (width: number) => Float32Array.from({ length: 100 }, () => width * (next() - 0.5));
    const [chosen, base] = [vector(0.1), vector(1)];
    const updates = [vector(90), chosen, vector(0.1), vector(0.1), chosen].map((values, i) => ({
      site: `site-${i}`,
      examples: 1 + i,
      frame: encodeUpdate(manifest, values),
      chunkBytes: 30 + 50 * i,
    }));
    const job = await jobFor(manifest, base, updates);
    const folded = await foldValues({ ...job, strategy: { name: "krum", byzantine: 1 } });
    expect(folded).toEqual(base.map((weight, i) => weight + (chosen[i] ?? NaN)));
  });

  it("adds up a long vector in stretches, to the bits of one sum in float64, and blames the site whose last bytes changed", async () => {
    const length = 2 ** 21 + 1000;
    const manifest = layout(1000, length - 1000);
    const vector = (scale: number) => Float32Array.from({ length }, (_, i) => scale * Math.sin(i * scale));
    const vectors = [vector(0.3), vector(0.7), vector(0.2)];
    const examples = [5, 11, 3];
    const updates = vectors.map((values, i) => ({
      site: `site-${i}`,
      examples: examples[i] ?? 0,
      frame: encodeUpdate(manifest, values),
      // So that stretches begin within chunks, and within numbers.
      chunkBytes: 700_001 + i,
    }));
    const base = vector(0.9);
    const job = await jobFor(manifest, base, updates);
    const [first = NaN, second = NaN, third = NaN] = examples.map((count) => count / 19);
    const expected = base.map((weight, i) => {
      let sum = 0;
      sum += first * (vectors[0]?.[i] ?? NaN);
      sum += second * (vectors[1]?.[i] ?? NaN);
      sum += third * (vectors[2]?.[i] ?? NaN);
      return weight + Math.fround(sum);
    });
    expect(Buffer.from((await foldValues(job)).buffer).equals(Buffer.from(expected.buffer))).toBe(true);

    const stored = job.contributions.map(({ sealedSha256 }) => sealedSha256);
    const damaged: Blobs = {
      ...bound(blobs),
      async *scan(name, range) {
        let at = range?.start ?? 0;
        const last = (await blobs.sizeOf(name)) ?? NaN;
        for await (const piece of blobs.scan(name, range)) {
          at += piece.length;
          if (name === stored[1] && at === last)
            piece[piece.length - 20] = (piece[piece.length - 20] ?? 0) ^ 1;
          yield piece;
        }
      },
    };
    await expect(fold(job, damaged, reader)).rejects.toMatchObject({
      code: "envelope.invalid",
      culprits: ["site-1"],
    });
  });

  it("needs memory for one vector, not for one a site", async () => {
    const length = 2 ** 18;
    const manifest = layout(length);
    const frame = encodeUpdate(manifest, new Float32Array(length).fill(0.5));
    const buffers = async (sites: number): Promise<number> => {
      const updates = Array.from({ length: sites }, (_, i) => ({ site: `site-${i}`, examples: 1, frame }));
      const job = await jobFor(manifest, new Float32Array(length), updates);
      let peakBytes = 0;
      const watched: Blobs = {
        ...bound(blobs),
        async *scan(name, range) {
          for await (const piece of blobs.scan(name, range)) {
            collectGarbage();
            peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers);
            yield piece;
          }
        },
      };
      collectGarbage();
      const before = process.memoryUsage().arrayBuffers;
      await fold(job, watched, reader);
      return peakBytes - before;
    };
    const vectorBytes = 8 * length;
    const mebibyte = 1024 * 1024;
    const few = await buffers(2);
    expect(few).toBeLessThan(vectorBytes + 10 * mebibyte);
    // Ten more sites hold 10 MB of updates.
    expect(await buffers(12)).toBeLessThan(few + 4 * mebibyte);
  });

  it("blames the site whose update is not finite, and writes nothing", async () => {
    const manifest = layout(4, 8);
    const good = encodeUpdate(manifest, new Float32Array(12));
    const bad = encodeUpdate(manifest, new Float32Array(12).fill(NaN, 7));
    const job = await jobFor(manifest, new Float32Array(12), [
      { site: "a", examples: 1, frame: good },
      { site: "b", examples: 1, frame: bad },
    ]);
    const before = await blobs.list();
    await expect(fold(job, blobs, reader)).rejects.toMatchObject({
      code: "vector.not-finite",
      culprits: ["b", "tensor 1"],
    });
    expect(await blobs.list()).toEqual(before);
  });

  it("blames nobody for a store that cannot be reached", async () => {
    const manifest = layout(4);
    const frame = encodeUpdate(manifest, Float32Array.of(1, 2, 3, 4));
    const job = await jobFor(manifest, new Float32Array(4), [{ site: "north", examples: 1, frame }]);
    const gone: Blobs = {
      ...blobs,
      scan: (sha256, range) => {
        if (sha256 === job.base) return blobs.scan(sha256, range);
        throw new ConsiliumError("store.unreachable");
      },
      write: (source) => blobs.write(source),
    };
    await expect(fold(job, gone, reader)).rejects.toMatchObject({ code: "store.unreachable", culprits: [] });
  });

  it("refuses an update that was sealed for another attempt", async () => {
    const manifest = layout(3);
    const updates = [{ site: "a", examples: 1, frame: encodeUpdate(manifest, new Float32Array(3)) }];
    const job = await jobFor(manifest, new Float32Array(3), updates);
    const replayed = { ...job, attempt: 3 as Attempt };
    await expect(fold(replayed, blobs, reader)).rejects.toMatchObject({
      code: "envelope.invalid",
      culprits: ["a"],
    });
  });

  it("refuses another model's update, a wrong tag and a wrong length", async () => {
    const manifest = layout(3);
    const update = encodeUpdate(manifest, new Float32Array(3));
    const tagged = Uint8Array.from(update);
    tagged[5] = 9;
    const frames = {
      "manifest.mismatch": encodeUpdate(layout(1, 2), new Float32Array(3)),
      "frame.bad-tag": tagged,
      "frame.wrong-length": update.slice(0, -4),
    };
    for (const [code, frame] of Object.entries(frames)) {
      const job = await jobFor(manifest, new Float32Array(3), [{ site: "a", examples: 1, frame }]);
      await expect(fold(job, blobs, reader)).rejects.toMatchObject({ code });
    }
  });
});

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Twice: the first sweeps buffers in the background, the second waits for that. */
function collectGarbage(): void {
  gc();
  gc();
}

/** Methods of a class instance as plain members. */
function bound(target: Blobs): Blobs {
  return {
    write: (source) => target.write(source),
    read: (name, range) => target.read(name, range),
    scan: (name, range) => target.scan(name, range),
    sizeOf: (name) => target.sizeOf(name),
    remove: (name) => target.remove(name),
    list: () => target.list(),
    stage: (upload) => target.stage(upload),
    staged: () => target.staged(),
  };
}
