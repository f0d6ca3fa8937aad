import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeCheckpoint, encodeCheckpoint } from "@consilium/shared/codec";
import type { Sha256 } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import { strategySchema, strategyOf, type StrategyPlan } from "@consilium/shared/strategy-schema";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { referenceModel } from "../testing/reference-strategies.ts";
import { readCheckpointHead } from "./checkpoint-stream.ts";
import { writeNext } from "./next-checkpoint.ts";
import { strategyContract, type Claims, type StrategyHarness, type Vectors } from "./strategy.contract.ts";
import { strategyFor } from "./strategy.ts";
import type { UpdateSet } from "./update-set.ts";

let folder: string;
let blobs: Blobs;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-strategies-"));
  blobs = await openFileBlobs(folder);
});
afterAll(() => rm(folder, { recursive: true }));

/** Two tensors, so that no block of a stream ends where a tensor does. */
const layoutFor = (length: number): Manifest => ({
  tensors: [5, length - 5].map((size, i) => ({ name: `tensor ${i}`, shape: [size], dtype: "float32" })),
});

/** As a sealed update is read, but for the seal (fold.test.ts): in slices that end at another place for each site. */
const updateSet = ({ base, updates, examples }: Vectors): UpdateSet => ({
  length: base.length,
  examples,
  async *read(i) {
    const update = updates[i] ?? new Float32Array(0);
    for (let offset = 0; offset < update.length; offset += 2 + i) {
      yield { offset, values: update.slice(offset, offset + 2 + i) };
      await Promise.resolve();
    }
  },
});

async function roundOn(target: Blobs, strategy: StrategyPlan, vectors: Vectors, state: string | null) {
  const manifest = layoutFor(vectors.base.length);
  const { sha256: base } = await blobs.write([encodeCheckpoint({ manifest, values: vectors.base })]);
  const mean = await strategyFor(strategy).combine(updateSet(vectors));
  const head = await readCheckpointHead(blobs.read(base));
  return writeNext({ base, strategy, serverState: state as Sha256 | null }, target, head, mean);
}

const harness: StrategyHarness = {
  async round(strategy, vectors, state) {
    const { sha256, serverState } = await roundOn(blobs, strategy, vectors, state);
    const pieces: Uint8Array[] = [];
    for await (const piece of blobs.read(sha256)) pieces.push(piece);
    return { values: decodeCheckpoint(Buffer.concat(pieces)).values, state: serverState };
  },
  async dieInRound(strategy, vectors, state) {
    // Two writes of a round that carries a state, one of others: it ends in the middle of the last.
    const writes = strategyFor(strategy).step.init(1).size === 0 ? 1 : 2;
    let written = 0;
    const dying: Blobs = {
      ...boundTo(blobs),
      write: async (source) => {
        written += 1;
        if (written < writes) return blobs.write(source);
        for await (const piece of source) if (piece.length > 0) break;
        throw new Error("died");
      },
    };
    await expect(roundOn(dying, strategy, vectors, state)).rejects.toThrow("died");
  },
};

function boundTo(target: Blobs): Blobs {
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

const mean = { weighted: true, followsConsensus: true, tolerates: 0 } as const;
const adaptive = { ...mean, followsConsensus: false } as const;
const CLAIMS: readonly [object | "fedavg", Claims][] = [
  ["fedavg", mean],
  [{ name: "fedavgm" }, mean],
  [{ name: "fedadam" }, adaptive],
  [{ name: "fedyogi" }, adaptive],
  [{ name: "median" }, { weighted: false, followsConsensus: true, tolerates: 5 }],
  // Of eleven groups' means.
  [{ name: "group-median" }, { weighted: false, followsConsensus: true, tolerates: 5 }],
  [
    { name: "trimmed-mean", trim: 0.3 },
    { weighted: false, followsConsensus: true, tolerates: 3 },
  ],
  [
    { name: "krum", byzantine: 4 },
    { weighted: false, followsConsensus: true, tolerates: 4 },
  ],
  [
    { name: "multi-krum", byzantine: 3 },
    { weighted: false, followsConsensus: true, tolerates: 3 },
  ],
];
for (const [written, claims] of CLAIMS) {
  strategyContract(strategyOf(strategySchema.parse(written)), claims, referenceModel, () =>
    Promise.resolve(harness),
  );
}

it("refuses another strategy's state", async () => {
  const vectors = { base: new Float32Array(9), updates: [new Float32Array(9).fill(1)], examples: [1] };
  const adam = strategyOf(strategySchema.parse({ name: "fedadam" }));
  const momentum = strategyOf(strategySchema.parse({ name: "fedavgm" }));
  const { state } = await harness.round(adam, vectors, null);
  await expect(harness.round(momentum, vectors, state)).rejects.toMatchObject({ code: "manifest.mismatch" });
});

it("refuses a model that is not finite, though every update is", async () => {
  const vectors = {
    base: new Float32Array(9).fill(3e38),
    updates: [new Float32Array(9).fill(3e38)],
    examples: [1],
  };
  const before = await blobs.list();
  await expect(harness.round({ name: "fedavg" }, vectors, null)).rejects.toMatchObject({
    code: "vector.not-finite",
    culprits: [],
  });
  // The base alone is new.
  expect((await blobs.list()).length).toBe(before.length + 1);
});
