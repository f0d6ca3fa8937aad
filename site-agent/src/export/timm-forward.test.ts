/** The exported file, run as timm's `VisionTransformer.forward_features` does it, gives the engine's features. */
import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { featureInference } from "../downstream/classifier.ts";
import { viewArrays, wholeImages } from "../downstream/views.ts";
import { manifestOf } from "../model/manifest.ts";
import { createEngine } from "../engine/engine.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { decodeSafetensors, type NamedTensor } from "./safetensors.ts";
import { exportTimm } from "./timm.ts";

const config: VitConfig = { imagePx: 12, patchPx: 4, channels: 2, width: 16, depth: 2, heads: 4 };

type Rows = number[][];
type Tensors = ReadonlyMap<string, NamedTensor>;

/** torch.nn.Linear: weight [out, in]. */
function linear(tensors: Tensors, name: string, x: Rows): Rows {
  const weight = tensors.get(`${name}.weight`);
  const bias = tensors.get(`${name}.bias`);
  const [outputs = 0, inputs = 0] = weight?.shape ?? [];
  return x.map((row) =>
    Array.from({ length: outputs }, (_, out) =>
      row.reduce(
        (sum, value, i) => sum + value * (weight?.values[out * inputs + i] ?? NaN),
        bias?.values[out] ?? NaN,
      ),
    ),
  );
}

/** torch.nn.LayerNorm with timm's epsilon for Vision Transformers. */
function layerNorm(tensors: Tensors, name: string, x: Rows): Rows {
  const weight = tensors.get(`${name}.weight`)?.values ?? [];
  const bias = tensors.get(`${name}.bias`)?.values ?? [];
  return x.map((row) => {
    const mean = row.reduce((sum, v) => sum + v, 0) / row.length;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / row.length;
    return row.map(
      (v, i) => ((v - mean) / Math.sqrt(variance + 1e-6)) * (weight[i] ?? NaN) + (bias[i] ?? NaN),
    );
  });
}

/** timm's Attention: the output of qkv is [3, heads, width of a head]. */
function attention(tensors: Tensors, name: string, x: Rows): Rows {
  const { width, heads } = config;
  const d = width / heads;
  const qkv = linear(tensors, `${name}.qkv`, x);
  const at = (token: number, part: number, head: number, i: number) =>
    qkv[token]?.[part * width + head * d + i] ?? NaN;
  const merged = x.map((_, query) =>
    Array.from({ length: heads }, (__, head) => {
      const scores = x.map((___, key) => {
        let score = 0;
        for (let i = 0; i < d; i++) score += at(query, 0, head, i) * at(key, 1, head, i);
        return Math.exp(score / Math.sqrt(d));
      });
      const total = scores.reduce((sum, s) => sum + s, 0);
      return Array.from({ length: d }, (___, i) =>
        scores.reduce((sum, s, key) => sum + (s / total) * at(key, 2, head, i), 0),
      );
    }).flat(),
  );
  return linear(tensors, `${name}.proj`, merged);
}

/** Abramowitz and Stegun 7.1.26 is not exact enough; the series is. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}
const gelu = (x: Rows): Rows => x.map((row) => row.map((v) => (v / 2) * (1 + erf(v / Math.SQRT2))));
const add = (a: Rows, b: Rows): Rows => a.map((row, i) => row.map((v, j) => v + (b[i]?.[j] ?? NaN)));

/** PatchEmbed (a convolution), class token, positions, blocks, norm. @param image [row][column][channel] */
function forwardFeatures(
  tensors: Tensors,
  image: (row: number, column: number, channel: number) => number,
): Rows {
  const { imagePx, patchPx, channels, width, depth } = config;
  const kernel = tensors.get("patch_embed.proj.weight")?.values ?? [];
  const bias = tensors.get("patch_embed.proj.bias")?.values ?? [];
  const grid = imagePx / patchPx;
  const patches = Array.from({ length: grid * grid }, (_, patch) =>
    Array.from({ length: width }, (__, out) => {
      let sum = bias[out] ?? NaN;
      for (let channel = 0; channel < channels; channel++)
        for (let row = 0; row < patchPx; row++)
          for (let column = 0; column < patchPx; column++) {
            const weight = kernel[((out * channels + channel) * patchPx + row) * patchPx + column] ?? NaN;
            const [top, left] = [Math.floor(patch / grid) * patchPx, (patch % grid) * patchPx];
            sum += weight * image(top + row, left + column, channel);
          }
      return sum;
    }),
  );
  const positions = tensors.get("pos_embed")?.values ?? [];
  const cls = Array.from(tensors.get("cls_token")?.values ?? []);
  let x = [cls, ...patches].map((token, t) => token.map((v, i) => v + (positions[t * width + i] ?? NaN)));
  for (let i = 0; i < depth; i++) {
    const name = `blocks.${i}`;
    x = add(x, attention(tensors, `${name}.attn`, layerNorm(tensors, `${name}.norm1`, x)));
    const hidden = gelu(linear(tensors, `${name}.mlp.fc1`, layerNorm(tensors, `${name}.norm2`, x)));
    x = add(x, linear(tensors, `${name}.mlp.fc2`, hidden));
  }
  return layerNorm(tensors, "norm", x);
}

describe("features of the exported encoder", () => {
  it("are those of the engine, within 1e-4", async () => {
    const manifest = manifestOf(vitParameters(config));
    const random = new Random(8);
    const length = manifest.tensors.reduce((sum, { shape }) => sum + shape.reduce((n, s) => n * s, 1), 0);
    const values = Float32Array.from({ length }, () => 0.3 * random.normal());
    const { tensors } = decodeSafetensors(exportTimm(config, { manifest, values }));

    const { imagePx, channels, width } = config;
    const pixels = Uint8Array.from({ length: imagePx * imagePx * channels }, () => random.below(256));
    const mean = pixels.reduce((sum, v) => sum + v, 0) / pixels.length;
    const stdDev = Math.sqrt(pixels.reduce((sum, v) => sum + (v - mean) ** 2, 0) / pixels.length);
    const tokens = forwardFeatures(tensors, (row, column, channel) => {
      const value = pixels[(row * imagePx + column) * channels + channel] ?? NaN;
      return (value - mean) / stdDev;
    });
    const patches = tokens.slice(1);
    const expected = Array.from(
      { length: width },
      (_, i) => patches.reduce((sum, token) => sum + (token[i] ?? NaN), 0) / patches.length,
    );

    const engine = await createEngine({ threads: 1, device: "cpu" });
    const cached = { sizePx: imagePx, depthPx: 1 };
    const inference = await engine.compileInference(featureInference({ config, cached, batchSize: 1 }));
    await inference.writeWeights(values);
    const { features = [] } = await inference.run(viewArrays(config, cached, pixels, wholeImages(cached, 1)));
    await inference.dispose();
    expect(features).toHaveLength(width);
    expected.forEach((value, i) => {
      expect(Math.abs(value - (features[i] ?? NaN))).toBeLessThan(1e-4);
    });
  });
});
