/** The exported graph, run by ONNX Runtime alone, gives the engine's features. */
import * as ort from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { featureInference } from "../downstream/classifier.ts";
import { viewArrays, wholeImages } from "../downstream/views.ts";
import { createEngine } from "../engine/engine.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { exportOnnx } from "./onnx.ts";

const config: VitConfig = { imagePx: 12, patchPx: 4, channels: 2, width: 16, depth: 2, heads: 4 };
const volumes: VitConfig = { ...config, volume: { depthPx: 6, patchDepthPx: 2 } };

function checkpoint(of: VitConfig) {
  const manifest = manifestOf(vitParameters(of));
  const random = new Random(8);
  const length = manifest.tensors.reduce((sum, { shape }) => sum + shape.reduce((n, s) => n * s, 1), 0);
  return { manifest, values: Float32Array.from({ length }, () => 0.3 * random.normal()) };
}

/** [N, H, W, C] -> [N, C, H, W] */
function channelFirst(pixels: Uint8Array, images: number, sizePx: number, channels: number): Float32Array {
  const area = sizePx * sizePx;
  return Float32Array.from(pixels, (_, i) => {
    const image = Math.floor(i / (channels * area));
    const channel = Math.floor(i / area) % channels;
    return pixels[(image * area + (i % area)) * channels + channel] ?? NaN;
  }).subarray(0, images * area * channels);
}

describe("the encoder as ONNX", () => {
  it("gives the engine's features, and the tokens that they are the mean of", async () => {
    const images = 3;
    const written = checkpoint(config);
    const random = new Random(9);
    const { imagePx, channels, width } = config;
    const pixels = Uint8Array.from({ length: images * imagePx ** 2 * channels }, () => random.below(256));

    const engine = await createEngine({ threads: 1, device: "cpu" });
    const cached = { sizePx: imagePx, depthPx: 1 };
    const inference = await engine.compileInference(featureInference({ config, cached, batchSize: images }));
    await inference.writeWeights(written.values);
    const { features: expected = new Float32Array() } = await inference.run(
      viewArrays(config, cached, pixels, wholeImages(cached, images)),
    );
    await inference.dispose();

    const session = await ort.InferenceSession.create(exportOnnx(config, written, images));
    expect(session.inputNames).toEqual(["pixels"]);
    const shape = [images, channels, imagePx, imagePx];
    const feed = new ort.Tensor("float32", channelFirst(pixels, images, imagePx, channels), shape);
    const { features, tokens } = await session.run({ pixels: feed });
    expect(features?.dims).toEqual([images, width]);
    expect(tokens?.dims).toEqual([images, 10, width]);
    const found = features?.data as Float32Array;
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 4);
    await session.release();
  });

  it("takes volumes too, slice after slice", async () => {
    const session = await ort.InferenceSession.create(exportOnnx(volumes, checkpoint(volumes), 1));
    const { channels, imagePx, width } = volumes;
    const shape = [1, channels, 6, imagePx, imagePx];
    const random = new Random(3);
    const data = Float32Array.from({ length: 6 * channels * imagePx ** 2 }, () => 255 * random.uniform());
    const { tokens } = await session.run({ pixels: new ort.Tensor("float32", data, shape) });
    expect(tokens?.dims).toEqual([1, 1 + 3 * 9, width]);
    expect([...(tokens?.data as Float32Array)].every(Number.isFinite)).toBe(true);
    await session.release();
  });

  it("has standard operators and the names of the weights, and says where they come from", () => {
    const text = Buffer.from(exportOnnx(config, checkpoint(config), 1, { round: "12" })).toString("latin1");
    expect(text).not.toContain("com.microsoft");
    expect(text).toContain("blocks.1.attn.qkv.weight");
    expect(text).toMatch(/round.{2,6}12/s);
  });

  it("refuses a checkpoint of another encoder", () => {
    const other = checkpoint({ ...config, width: 8 });
    expect(() => exportOnnx(config, other, 1)).toThrow(
      expect.objectContaining({ code: "manifest.mismatch" }) as Error,
    );
  });
});
