import { describe, expect, it } from "vitest";
import { isFrozen } from "./frozen.ts";
import type { Manifest } from "./manifest.ts";
import { parsePlan } from "./plan.ts";
import { roundLayout } from "./secagg/plan-layout.ts";
import { trainedPart } from "./trained-part.ts";

const layout = (...names: readonly string[]): Manifest => ({
  tensors: names.map((name, i) => ({ name, shape: [i + 1], dtype: "float32" })),
});
const NAMES = [
  "cls_token",
  "patch_embed.proj.weight",
  "blocks.0.norm1.bias",
  "blocks.1.norm1.bias",
  "norm.bias",
];
const MODEL = layout(...NAMES, "decoder_blocks.0.norm1.bias");

const plan = (frozenBlocks: number | undefined, size = "nano") =>
  parsePlan({
    federation: "lungs",
    title: "Lungs",
    rounds: 3,
    model: { size },
    start: { sha256: "0".repeat(64), bytes: 4, format: "checkpoint" },
    training: { frozenBlocks },
  });

describe("layers that a plan freezes", () => {
  it("are the encoder's beginning, and nothing of a decoder or a teacher", () => {
    expect(NAMES.map((name) => isFrozen(name, 1))).toEqual([true, true, true, false, false]);
    expect(NAMES.map((name) => isFrozen(name, 0))).toEqual([true, true, false, false, false]);
    expect(NAMES.some((name) => isFrozen(name, undefined))).toBe(false);
    expect(isFrozen("blocks.10.norm1.bias", 2)).toBe(false);
    for (const name of ["decoder_blocks.0.norm1.bias", "teacher.cls_token", "mask_token"])
      expect(isFrozen(name, 12)).toBe(false);
  });

  it("leave the rest of the model, in order, for updates and for the masked vector", () => {
    expect(trainedPart(MODEL, {})).toMatchObject({ manifest: MODEL, offset: 0 });
    const { manifest, offset } = trainedPart(MODEL, { frozenBlocks: 1 });
    expect(manifest.tensors).toEqual(MODEL.tensors.slice(3));
    expect(offset).toBe(1 + 2 + 3);
    const magnitudes = MODEL.tensors.map(({ name, shape }) => ({ name, shape, largest: 0.5 }));
    const masked = (blocks?: number) =>
      roundLayout(plan(blocks), 1, 3, magnitudes).tensors.map(({ name }) => name);
    expect(masked(1)).toEqual(manifest.tensors.map(({ name }) => name));
    expect(masked()).toEqual(MODEL.tensors.map(({ name }) => name));
  });

  it("are refused where they are no beginning, or everything", () => {
    const mismatch = expect.objectContaining({ code: "manifest.mismatch" }) as Error;
    expect(() => trainedPart(layout("norm.bias", ...NAMES), { frozenBlocks: 1 })).toThrow(mismatch);
    expect(() => trainedPart(layout("cls_token", "blocks.0.norm1.bias"), { frozenBlocks: 1 })).toThrow(
      mismatch,
    );
    expect(() =>
      trainedPart(layout("cls_token", "norm.bias", "blocks.0.norm1.bias"), { frozenBlocks: 1 }),
    ).toThrow(mismatch);
    expect(() => trainedPart(layout("weight"), { frozenBlocks: 1 })).toThrow(mismatch);
  });

  it("need a model to start from, and a model that has so many", () => {
    const refused = (...args: Parameters<typeof plan>): void => {
      expect(() => plan(...args)).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: ["training.frozenBlocks"] }) as Error,
      );
    };
    expect(plan(6).training.frozenBlocks).toBe(6);
    expect(plan(12, "tiny").training.frozenBlocks).toBe(12);
    refused(7);
    refused(13, "tiny");
    expect(() => parsePlan({ ...plan(3), start: undefined })).toThrow(
      expect.objectContaining({ culprits: ["training.frozenBlocks"] }) as Error,
    );
  });
});
