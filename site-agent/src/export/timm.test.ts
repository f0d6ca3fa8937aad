import { ConsiliumError } from "@consilium/shared/errors";
import { describe, expect, it } from "vitest";
import { manifestOf } from "../model/manifest.ts";
import { Random } from "../dataset/random.ts";
import type { Parameter } from "../engine/types.ts";
import { sinCosPositions } from "../model/positions.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { decodeSafetensors } from "./safetensors.ts";
import { encoderCard, exportTimm, fromTimm, toTimm } from "./timm.ts";

const config: VitConfig = { imagePx: 12, patchPx: 4, channels: 3, width: 8, depth: 2, heads: 2 };
const head: Parameter = { name: "decoder_pred.bias", shape: [5], decay: false, learningRateScale: 1 };

/** A checkpoint with a pretext head between the encoder's weights and other numbers everywhere. */
function checkpoint() {
  const [first, ...rest] = vitParameters(config);
  const manifest = manifestOf(first ? [first, head, ...rest] : []);
  const random = new Random(4);
  const length = manifest.tensors.reduce((sum, { shape }) => sum + shape.reduce((n, s) => n * s, 1), 0);
  return { manifest, values: Float32Array.from({ length }, () => random.normal()) };
}

describe("the encoder in timm's layout", () => {
  const written = checkpoint();
  const card = encoderCard(config);
  const { tensors, metadata } = decodeSafetensors(exportTimm(config, written, { round: "3" }));

  it("has exactly the keys and shapes of timm's VisionTransformer without a head", () => {
    const block = (i: number) =>
      Object.entries({
        "norm1.weight": [8],
        "norm1.bias": [8],
        "attn.qkv.weight": [24, 8],
        "attn.qkv.bias": [24],
        "attn.proj.weight": [8, 8],
        "attn.proj.bias": [8],
        "norm2.weight": [8],
        "norm2.bias": [8],
        "mlp.fc1.weight": [32, 8],
        "mlp.fc1.bias": [32],
        "mlp.fc2.weight": [8, 32],
        "mlp.fc2.bias": [8],
      }).map(([name, shape]): [string, number[]] => [`blocks.${i}.${name}`, shape]);
    const expected = new Map<string, number[]>([
      ["cls_token", [1, 1, 8]],
      ["pos_embed", [1, 10, 8]],
      ["patch_embed.proj.weight", [8, 3, 4, 4]],
      ["patch_embed.proj.bias", [8]],
      ...block(0),
      ...block(1),
      ["norm.weight", [8]],
      ["norm.bias", [8]],
    ]);
    const found = new Map([...tensors].map(([name, { shape }]) => [name, shape]));
    expect(new Map([...found].sort())).toEqual(new Map([...expected].sort()));
    expect(metadata).toEqual({ format: "pt", round: "3" });
    expect(card.timm).toMatchObject({ img_size: 12, patch_size: 4, in_chans: 3, embed_dim: 8, depth: 2 });
  });

  it("writes positions out, with zeros for the class token", () => {
    const positions = tensors.get("pos_embed")?.values ?? new Float32Array();
    expect(positions.subarray(0, 8)).toEqual(new Float32Array(8));
    expect(positions.subarray(8)).toEqual(sinCosPositions(3, 8));
  });

  it("projects a patch as timm's convolution does", () => {
    // Ours: sum over (row, column, channel). Theirs: a kernel [channel][row][column] over the same patch.
    const random = new Random(5);
    const patch = Float32Array.from({ length: 48 }, () => random.normal());
    const ours = new Map<string, Float32Array>();
    let offset = 0;
    for (const { name, shape } of written.manifest.tensors) {
      const length = shape.reduce((n, s) => n * s, 1);
      ours.set(name, written.values.subarray(offset, offset + length));
      offset += length;
    }
    const weight = ours.get("patch_embed.proj.weight") ?? new Float32Array();
    const kernel = tensors.get("patch_embed.proj.weight")?.values ?? new Float32Array();
    for (let out = 0; out < 8; out++) {
      let expected = 0;
      for (let i = 0; i < 48; i++) expected += (patch[i] ?? NaN) * (weight[i * 8 + out] ?? NaN);
      let actual = 0;
      for (let channel = 0; channel < 3; channel++)
        for (let row = 0; row < 4; row++)
          for (let column = 0; column < 4; column++) {
            const k = ((out * 3 + channel) * 4 + row) * 4 + column;
            actual += (patch[(row * 4 + column) * 3 + channel] ?? NaN) * (kernel[k] ?? NaN);
          }
      expect(actual).toBeCloseTo(expected, 5);
    }
  });

  it("comes back as the same encoder", () => {
    const values = fromTimm(config, { tensors });
    expect(toTimm(config, values)).toEqual(tensors);
    const headless = written.manifest.tensors.filter(({ name }) => name !== head.name);
    expect(values).toHaveLength(written.values.length - 5);
    expect(headless.map(({ name }) => name)).toEqual(vitParameters(config).map(({ name }) => name));
  });

  it("refuses a checkpoint of another encoder", () => {
    const wider = { ...config, width: 16 };
    const codes = [() => exportTimm(wider, written), () => fromTimm(wider, { tensors })].map((call) => {
      try {
        call();
        return undefined;
      } catch (error) {
        return error instanceof ConsiliumError ? [error.code, ...error.culprits] : error;
      }
    });
    expect(codes).toEqual([
      ["manifest.mismatch", "cls_token"],
      ["manifest.mismatch", "cls_token"],
    ]);
  });

  it("has no place for an encoder of volumes, and says so", () => {
    const ofVolumes = { ...config, volume: { depthPx: 8, patchDepthPx: 4 } };
    expect(() => exportTimm(ofVolumes, written)).toThrow(
      expect.objectContaining({ code: "model.of-volumes" }) as Error,
    );
  });
});
