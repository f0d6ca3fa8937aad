import { ConsiliumError } from "@consilium/shared/errors";
import { tensorViews } from "@consilium/shared/vector";
import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { adaptEncoder, withEncoder } from "./adapt.ts";
import type { NamedTensor } from "./safetensors.ts";
import { toTimm } from "./timm.ts";

const config: VitConfig = { imagePx: 16, patchPx: 4, channels: 1, width: 8, depth: 2, heads: 2 };
const random = new Random(5);
const weightsOf = (of: VitConfig): Float32Array => initialWeights(vitParameters(of), 3).map((v) => v + 0.1 * random.normal()); // prettier-ignore

const rename = (tensors: ReadonlyMap<string, NamedTensor>, to: (name: string) => string) =>
  new Map([...tensors].map(([name, tensor]) => [to(name), tensor] as const));

/** As transformers' ViTMAEModel names and cuts them. */
function huggingFace(tensors: ReadonlyMap<string, NamedTensor>): Map<string, NamedTensor> {
  const out = new Map<string, NamedTensor>();
  for (const [name, tensor] of tensors) {
    const [, block, layer, kind] = /^blocks\.(\d+)\.(.*)\.(weight|bias)$/.exec(name) ?? [];
    const stem = `vit.encoder.layer.${block}`;
    if (layer === "attn.qkv") {
      const [rows = 0, ...rest] = tensor.shape;
      for (const [i, part] of ["query", "key", "value"].entries()) {
        const length = tensor.values.length / 3;
        out.set(`${stem}.attention.attention.${part}.${kind}`, {
          shape: [rows / 3, ...rest],
          values: tensor.values.slice(i * length, (i + 1) * length),
        });
      }
      continue;
    }
    const layers: Record<string, string> = {
      norm1: "layernorm_before",
      norm2: "layernorm_after",
      "attn.proj": "attention.output.dense",
      "mlp.fc1": "intermediate.dense",
      "mlp.fc2": "output.dense",
    };
    const whole: Record<string, string> = {
      cls_token: "vit.embeddings.cls_token",
      pos_embed: "vit.embeddings.position_embeddings",
      "patch_embed.proj.weight": "vit.embeddings.patch_embeddings.projection.weight",
      "patch_embed.proj.bias": "vit.embeddings.patch_embeddings.projection.bias",
      "norm.weight": "vit.layernorm.weight",
      "norm.bias": "vit.layernorm.bias",
    };
    out.set(layer === undefined ? (whole[name] ?? name) : `${stem}.${layers[layer]}.${kind}`, tensor);
  }
  return out;
}

describe("an encoder of another program", () => {
  const values = weightsOf(config);
  const tensors = toTimm(config, values);

  it.each([
    ["timm", tensors],
    ["a prefix", rename(tensors, (name) => `module.encoder.${name}`)],
    ["Hugging Face", huggingFace(tensors)],
    ["decoder weights beside it", new Map([...tensors, ...rename(tensors, (name) => `decoder_${name}`)])],
  ])("is taken over bit for bit: %s", (_, named) => {
    const { checkpoint, changes } = adaptEncoder(config, { tensors: named });
    expect(checkpoint.values).toEqual(values);
    expect(changes).toEqual([]);
  });

  it("with three channels sees a grey image as it saw three equal ones", () => {
    const colour = { ...config, channels: 3 };
    const { checkpoint, changes } = adaptEncoder(config, { tensors: toTimm(colour, weightsOf(colour)) });
    expect(changes).toEqual(["channels: 3 summed, then shared out over 1"]);
    const back = adaptEncoder(colour, { tensors: toTimm(config, checkpoint.values) });
    const sums = (of: typeof checkpoint, channels: number) => {
      const projection = tensorViews(of.manifest, of.values).get("patch_embed.proj.weight");
      return Array.from({ length: 16 * config.width }, (__, i) => {
        const [pixel, out] = [Math.floor(i / config.width), i % config.width];
        let sum = 0;
        for (let c = 0; c < channels; c++)
          sum += projection?.[(pixel * channels + c) * config.width + out] ?? NaN;
        return sum;
      });
    };
    const [one, three] = [sums(checkpoint, 1), sums(back.checkpoint, 3)];
    for (const [i, value] of three.entries()) expect(value).toBeCloseTo(one[i] ?? NaN, 6);
  });

  it("with larger patches gives the same token for an even patch", () => {
    const coarse = { ...config, patchPx: 8 };
    const even = toTimm(coarse, weightsOf(coarse));
    even.set("patch_embed.proj.weight", { shape: [8, 1, 8, 8], values: new Float32Array(512).fill(0.25) });
    const { checkpoint, changes } = adaptEncoder(config, { tensors: even });
    const projection = tensorViews(checkpoint.manifest, checkpoint.values).get("patch_embed.proj.weight");
    expect(projection?.every((v) => v === 1)).toBe(true);
    expect(changes).toContain("patches: 8 px laid on 4 px");
  });

  it("with learned positions says that they are replaced, and keeps the class token's", () => {
    const learned = new Map(tensors);
    const positions = Float32Array.from({ length: 17 * 8 }, () => random.normal());
    learned.set("pos_embed", { shape: [1, 17, 8], values: positions });
    const { checkpoint, changes } = adaptEncoder(config, { tensors: learned });
    expect(changes).toEqual([expect.stringContaining("learned ones")]);
    const token = (of: Float32Array) => tensorViews(checkpoint.manifest, of).get("cls_token");
    const expected = token(values)?.map((v, i) => v + (positions[i] ?? NaN));
    expect(token(checkpoint.values)).toEqual(expected);
  });

  it.each([
    ["nothing of the kind", new Map([["conv1.weight", { shape: [1], values: Float32Array.of(1) }]])],
    ["another width", toTimm({ ...config, width: 16 }, weightsOf({ ...config, width: 16 }))],
    ["another depth", toTimm({ ...config, depth: 3 }, weightsOf({ ...config, depth: 3 }))],
    ["a weight missing", new Map([...tensors].filter(([name]) => name !== "cls_token"))],
  ])("is refused: %s", (_, named) => {
    let code = "";
    try {
      adaptEncoder(config, { tensors: named });
    } catch (error) {
      code = error instanceof ConsiliumError ? error.code : "other";
    }
    expect(code).toBe("weights.foreign");
  });

  it("goes into a whole model beside the pretext heads", () => {
    const head = { name: "decoder_pred.bias", shape: [5], decay: false, learningRateScale: 1 };
    const manifest = manifestOf([...vitParameters(config), head]);
    const model = { manifest, values: new Float32Array(values.length + 5).fill(7) };
    const joined = withEncoder(model, adaptEncoder(config, { tensors }).checkpoint);
    expect([...joined.values]).toEqual([...values, 7, 7, 7, 7, 7]);
  });
});
