import { sha256 } from "@consilium/shared/canonical";
import { encodeCheckpoint, type Checkpoint } from "@consilium/shared/codec";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import type { StartPlan } from "@consilium/shared/start-schema";
import { concatenate, tensorViews } from "@consilium/shared/vector";
import { describe, expect, it } from "vitest";
import { selectParameters } from "../downstream/encoder.ts";
import { exportTimm, toTimm } from "../export/timm.ts";
import { encodeSafetensors } from "../export/safetensors.ts";
import { vitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { genesis } from "./genesis.ts";
import { sameBits, toyPlan } from "./testing/toy.ts";

const PLAN = toyPlan();
const CONFIG = vitConfig(PLAN.model);
const ENCODER = vitParameters(CONFIG);
/** What another federation, with another seed, ended with. */
const OTHER = genesis({ ...PLAN, seed: 77 });

const starting = (bytes: Uint8Array, format: StartPlan["format"], change: Partial<Plan> = {}): Plan => ({
  ...PLAN,
  ...change,
  start: { sha256: sha256(bytes), bytes: bytes.length, format, origin: "a test" },
});
const encoderOf = (model: Checkpoint): Float32Array => selectParameters(ENCODER, model);

function restOf({ manifest, values }: Checkpoint): Float32Array {
  const names = new Set(ENCODER.map(({ name }) => name));
  const views = [...tensorViews(manifest, values)];
  return concatenate(views.flatMap(([name, view]) => (names.has(name) ? [] : [view])));
}

/** The checkpoint with one weight of another shape, or none of it. */
function damaged(name: string, shape: readonly number[] | null): Uint8Array {
  const kept = OTHER.manifest.tensors.flatMap((tensor) => {
    if (tensor.name !== name) return [tensor];
    return shape === null ? [] : [{ ...tensor, shape }];
  });
  const views = tensorViews(OTHER.manifest, OTHER.values);
  const values = concatenate(kept.flatMap(({ name }) => views.get(name) ?? []));
  return encodeCheckpoint({ manifest: { tensors: kept }, values });
}

describe("a plan that starts from an existing model", () => {
  it("takes the encoder of a timm file, and draws the decoder from the seed", () => {
    const file = exportTimm(CONFIG, OTHER);
    const started = genesis(starting(file, "safetensors"), file);
    expect(sameBits(encoderOf(started), encoderOf(OTHER))).toBe(true);
    expect(sameBits(restOf(started), restOf(genesis(PLAN)))).toBe(true);
    expect(started.manifest).toEqual(OTHER.manifest);
    expect(started.changes[0]).toMatch(/^77 of \d+ weights .* the other \d+ are drawn from the seed$/);
  });

  it("takes all that a checkpoint of the same task has, decoder included", () => {
    const file = encodeCheckpoint(OTHER);
    expect(sameBits(genesis(starting(file, "checkpoint"), file).values, OTHER.values)).toBe(true);
  });

  it.each([{ task: "vicreg" }, { task: "classify", classes: ["ill", "well"] }])(
    "takes the encoder of another task's checkpoint for $task, and draws the heads",
    (task) => {
      const file = encodeCheckpoint(OTHER);
      const { pretext } = parsePlan({ ...PLAN, pretext: task });
      const plan = starting(file, "checkpoint", { pretext });
      const started = genesis(plan, file);
      expect(sameBits(encoderOf(started), encoderOf(OTHER))).toBe(true);
      expect(sameBits(restOf(started), restOf(genesis({ ...plan, start: undefined })))).toBe(true);
    },
  );

  it("names the weight that does not fit, whatever the format", () => {
    const refused = (bytes: Uint8Array, format: StartPlan["format"], name: string): void => {
      expect(() => genesis(starting(bytes, format), bytes)).toThrow(
        expect.objectContaining({ code: "start.unfit", culprits: [name] }) as Error,
      );
    };
    refused(damaged("norm.bias", [64, 2]), "checkpoint", "norm.bias");
    refused(damaged("blocks.2.mlp.fc1.bias", null), "checkpoint", "blocks.2.mlp.fc1.bias");
    // Of a head, too: half of what it was trained for would be left behind without a word.
    refused(damaged("decoder_norm.bias", [4, 8]), "checkpoint", "decoder_norm.bias");
    const tensors = toTimm(CONFIG, encoderOf(OTHER));
    tensors.set("blocks.1.attn.proj.bias", { shape: [64, 2], values: new Float32Array(128) });
    refused(encodeSafetensors({ tensors, metadata: {} }), "safetensors", "blocks.1.attn.proj.bias");
  });

  it("believes no file but the one that it names, and no number that is none", () => {
    const file = encodeCheckpoint(OTHER);
    const code = (code: string): Error => expect.objectContaining({ code }) as Error;
    expect(() => genesis(starting(exportTimm(CONFIG, OTHER), "checkpoint"), file)).toThrow(
      code("hash.mismatch"),
    );
    expect(() => genesis(starting(file, "checkpoint"), null)).toThrow(code("start.missing"));
    const values = Float32Array.from(OTHER.values);
    values[5] = NaN;
    const broken = encodeCheckpoint({ manifest: OTHER.manifest, values });
    expect(() => genesis(starting(broken, "checkpoint"), broken)).toThrow(code("vector.not-finite"));
    expect(() => genesis(starting(Uint8Array.of(1), "safetensors"), Uint8Array.of(1))).toThrow(
      code("weights.unreadable"),
    );
  });
});
