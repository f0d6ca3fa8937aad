import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addProduct, drawFactor, drawOf, isLowRank, type Draw } from "./low-rank.ts";
import { vectorLength, type Manifest } from "./manifest.ts";
import { parsePlan, planHash } from "./plan.ts";
import { roundLayout } from "./secagg/plan-layout.ts";
import { applyUpdate, trainedPart, type TrainedTerms } from "./trained-part.ts";
import { l2Norm } from "./vector.ts";

const QKV = "blocks.1.attn.qkv.weight";
const tensor = (name: string, ...shape: readonly number[]) => ({ name, shape, dtype: "float32" }) as const;
const MODEL: Manifest = {
  tensors: [
    tensor("cls_token", 1, 1, 4),
    tensor("blocks.0.attn.qkv.weight", 4, 12),
    tensor("blocks.0.attn.qkv.bias", 12),
    tensor("blocks.0.attn.proj.weight", 4, 4),
    tensor(QKV, 4, 12),
    tensor("norm.weight", 4),
    tensor("decoder_blocks.0.attn.qkv.weight", 4, 12),
  ],
};
const DRAW: Draw = { seed: 7, rank: 2, alpha: 4 };
const TERMS: TrainedTerms = { lowRank: { rank: 2, alpha: 4 } };
const plan = (training: object, more: object = {}) =>
  parsePlan({
    federation: "lungs",
    title: "Lungs",
    rounds: 3,
    start: { sha256: "0".repeat(64), bytes: 4, format: "checkpoint" },
    training,
    ...more,
  });
const floats = (length: number) =>
  fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: length, maxLength: length });

describe("updates of low rank", () => {
  it("are of the matrices in the encoder's blocks", () => {
    for (const layer of ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]) {
      expect(isLowRank(`blocks.11.${layer}.weight`)).toBe(true);
      for (const other of [
        `blocks.11.${layer}.bias`,
        `decoder_blocks.0.${layer}.weight`,
        `teacher.blocks.0.${layer}.weight`,
      ])
        expect(isLowRank(other), other).toBe(false);
    }
    for (const other of ["cls_token", "patch_embed.proj.weight", "blocks.0.norm1.weight", "head.weight"])
      expect(isLowRank(other), other).toBe(false);
  });

  it("have a factor in the matrix's place, in plain and in masked rounds, and none of what is frozen", () => {
    const { manifest, offset, runs } = trainedPart(MODEL, { ...TERMS, frozenBlocks: 1 });
    expect(manifest.tensors.map(({ name, shape }) => [name, shape])).toEqual([
      [`${QKV}.factor`, [2, 12]],
      ["norm.weight", [4]],
      ["decoder_blocks.0.attn.qkv.weight", [4, 12]],
    ]);
    expect(offset).toBe(4 + 48 + 12 + 16);
    expect(runs.map(({ product }) => product?.weight)).toEqual([QKV, undefined]);
    expect(runs.at(-1)).toMatchObject({ to: vectorLength(MODEL), updateTo: vectorLength(manifest) });
    const magnitudes = MODEL.tensors.map(({ name, shape }) => ({ name, shape, largest: 3 }));
    const { tensors } = roundLayout(plan({ ...TERMS, frozenBlocks: 1 }), 1, 3, magnitudes);
    expect(tensors.map(({ name, length }) => [name, length])).toEqual([
      [`${QKV}.factor`, 24],
      ["norm.weight", 4],
      ["decoder_blocks.0.attn.qkv.weight", 48],
    ]);
    // It begins at zero, and so has less to decay from.
    expect(tensors[0]?.bound).toBeLessThan(tensors[1]?.bound ?? 0);
  });

  it("averaged give the average of the sites' whole models, whatever they weigh", () => {
    const part = trainedPart(MODEL, TERMS);
    const [all, sent] = [vectorLength(MODEL), vectorLength(part.manifest)];
    const site = fc.record({ update: floats(sent), examples: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(floats(all), fc.array(site, { minLength: 1, maxLength: 4 }), (base, sites) => {
        const images = sites.reduce((sum, { examples }) => sum + examples, 0);
        const mean = Float32Array.from({ length: sent }, (_, i) =>
          sites.reduce((sum, { update, examples }) => sum + ((update[i] ?? NaN) * examples) / images, 0),
        );
        const global = Float32Array.from(base);
        applyUpdate(global, mean, part, DRAW);
        const merged = sites.map(({ update }) => {
          const own = Float32Array.from(base);
          applyUpdate(own, Float32Array.from(update), part, DRAW);
          return own;
        });
        for (const [i, value] of global.entries()) {
          const expected = sites.reduce(
            (sum, { examples }, at) => sum + ((merged[at]?.[i] ?? NaN) * examples) / images,
            0,
          );
          expect(value).toBeCloseTo(expected, 5);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("move a matrix by A B alone, in whatever pieces it comes", () => {
    const drawn = drawFactor(DRAW, QKV, 4);
    const cuts = fc.array(fc.integer({ min: 0, max: 48 }), { maxLength: 4 });
    fc.assert(
      fc.property(floats(48), floats(24), cuts, (weights, factor, at) => {
        const product = { drawn, factor: Float32Array.from(factor), rank: 2 };
        const whole = Float32Array.from(weights);
        addProduct(whole, 0, product);
        const pieces = Float32Array.from(weights);
        const ends = [0, ...at.toSorted((a, b) => a - b), 48];
        for (const [i, end] of ends.entries()) {
          const start = ends[i - 1] ?? 0;
          addProduct(pieces.subarray(start, end), start, product);
        }
        expect(pieces).toEqual(whole);
        const [row, column] = [3, 5];
        const moved =
          (drawn[2 * row] ?? NaN) * (factor[column] ?? NaN) +
          (drawn[2 * row + 1] ?? NaN) * (factor[12 + column] ?? NaN);
        expect(whole[12 * row + column]).toBeCloseTo((weights[12 * row + column] ?? NaN) + moved, 5);
      }),
      { numRuns: 50 },
    );
  });

  it("draw signs alike everywhere, for each matrix and seed its own, of one length whatever the rank", () => {
    const drawn = drawFactor({ seed: 1, rank: 4, alpha: 4 }, QKV, 200);
    expect(new Set(drawn)).toEqual(new Set([2, -2]));
    expect(Math.abs(drawn.reduce((sum, value) => sum + value / 2, 0))).toBeLessThan(4 * Math.sqrt(800));
    expect([...drawn.subarray(0, 12)].map(Math.sign)).toEqual([1, -1, 1, -1, -1, -1, -1, -1, -1, 1, 1, -1]);
    expect(drawFactor({ seed: 1, rank: 4, alpha: 4 }, "blocks.2.attn.qkv.weight", 200)).not.toEqual(drawn);
    expect(drawFactor({ seed: 2, rank: 4, alpha: 4 }, QKV, 200)).not.toEqual(drawn);
    const row = (rank: number): number => l2Norm(drawFactor({ seed: 1, rank, alpha: 3 }, QKV, 1));
    expect(row(1)).toBeCloseTo(3, 6);
    expect(row(8)).toBeCloseTo(3, 6);
  });

  it("need a model to start from, and a rank that saves something; a plan without them has the hash that it had", () => {
    expect(drawOf(plan({ lowRank: { rank: 4 } }, { seed: 9 }))).toEqual({ seed: 9, rank: 4, alpha: 4 });
    expect(drawOf(plan({}))).toBeNull();
    expect("lowRank" in plan({}).training).toBe(false);
    expect(planHash(plan({}))).not.toBe(planHash(plan({ lowRank: { rank: 4 } })));
    const refused = (training: object, field: string, more: object = {}): void => {
      expect(() => plan(training, more)).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: [field] }) as Error,
      );
    };
    refused({ lowRank: { rank: 4 } }, "training.lowRank", { start: undefined });
    refused({ lowRank: { rank: 0 } }, "training.lowRank.rank");
    refused({ lowRank: { rank: 65 } }, "training.lowRank.rank");
  });
});
