/**
 * Weights of other programs as an encoder to start from: timm's names (timm, facebookresearch/mae) or those of Hugging
 * Face's ViT and ViT-MAE, whatever their number of channels and the size of their patches.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { elementCount } from "@consilium/shared/manifest";
import type { Checkpoint } from "@consilium/shared/codec";
import { concatenate, tensorViews } from "@consilium/shared/vector";
import { bilinear, centreAmong } from "../ingest/resize.ts";
import { manifestOf } from "../model/manifest.ts";
import { sinCosPositions } from "../model/positions.ts";
import { assertOfImages, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import type { NamedTensor, TensorFile } from "./safetensors.ts";
import { fromTimm } from "./timm.ts";

type Tensors = ReadonlyMap<string, NamedTensor>;

const PROJECTION = "patch_embed.proj.weight";
const CLASS_TOKEN = "cls_token";
const POSITIONS = "pos_embed";
const ANCHOR = "blocks.0.norm1.weight";

export interface Adapted {
  readonly checkpoint: Checkpoint;
  /** What was changed on the way, a line each. */
  readonly changes: readonly string[];
}

/**
 * @throws weights.foreign if the file holds no Vision Transformer, or one of another width or depth
 * @throws model.of-volumes
 */
export function adaptEncoder(config: VitConfig, file: Pick<TensorFile, "tensors">): Adapted {
  assertOfImages(config);
  const named = timmNames(file.tensors);
  assertSameNetwork(config, named);
  const changes: string[] = [];
  const tensors = new Map(named);
  tensors.set(PROJECTION, fittedProjection(config, tensorOf(named, PROJECTION), changes));
  tensors.set(CLASS_TOKEN, placedClassToken(config, named, changes));
  const parameters = vitParameters(config);
  return {
    checkpoint: { manifest: manifestOf(parameters), values: fromTimm(config, { tensors }) },
    changes,
  };
}

/** Under timm's names: a prefix (`module.`, `encoder.`, `model.`) is dropped, Hugging Face's names are translated. */
function timmNames(tensors: Tensors): Tensors {
  const translated = new Map([...tensors].map(([name, tensor]) => [fromHuggingFace(name), tensor]));
  joinQueryKeyValue(translated);
  const anchor = [...translated.keys()].find((name) => name.endsWith(ANCHOR) && !name.includes("decoder"));
  if (anchor === undefined) throw foreign("(no Vision Transformer is in it)");
  const prefix = anchor.slice(0, -ANCHOR.length);
  return new Map(
    [...translated].flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
}

/** In this order, the first that matches. */
const HUGGING_FACE: readonly (readonly [RegExp, string])[] = [
  [/embeddings\.cls_token$/, CLASS_TOKEN],
  [/embeddings\.position_embeddings$/, POSITIONS],
  [/embeddings\.patch_embeddings\.projection\./, "patch_embed.proj."],
  [/encoder\.layer\.(\d+)\.layernorm_before\./, "blocks.$1.norm1."],
  [/encoder\.layer\.(\d+)\.layernorm_after\./, "blocks.$1.norm2."],
  [/encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\./, "blocks.$1.attn.$2."],
  [/encoder\.layer\.(\d+)\.attention\.output\.dense\./, "blocks.$1.attn.proj."],
  [/encoder\.layer\.(\d+)\.intermediate\.dense\./, "blocks.$1.mlp.fc1."],
  [/encoder\.layer\.(\d+)\.output\.dense\./, "blocks.$1.mlp.fc2."],
  [/^(vit\.)?layernorm\./, "$1norm."],
];

function fromHuggingFace(name: string): string {
  const rule = HUGGING_FACE.find(([pattern]) => pattern.test(name));
  return rule === undefined ? name : name.replace(...rule);
}

/** Hugging Face keeps three matrices where timm has their rows in one. */
function joinQueryKeyValue(tensors: Map<string, NamedTensor>): void {
  for (const [name, query] of [...tensors]) {
    const [, stem, kind] = /^(.*attn\.)query\.(weight|bias)$/.exec(name) ?? [];
    if (stem === undefined || kind === undefined) continue;
    const parts = [query, tensorOf(tensors, `${stem}key.${kind}`), tensorOf(tensors, `${stem}value.${kind}`)];
    const values = concatenate(parts.map((part) => part.values));
    const [rows = 0, ...rest] = query.shape;
    tensors.set(`${stem}qkv.${kind}`, { shape: [3 * rows, ...rest], values });
  }
}

function assertSameNetwork({ width, depth }: VitConfig, tensors: Tensors): void {
  const found = {
    width: tensorOf(tensors, "blocks.0.norm1.weight").shape[0],
    depth: [...tensors.keys()].filter((name) => /^blocks\.\d+\.norm1\.weight$/.test(name)).length,
  };
  if (found.width === width && found.depth === depth) return;
  throw foreign(`(width ${found.width ?? 0} and depth ${found.depth}; the plan's are ${width} and ${depth})`);
}

/**
 * The patch projection [width, channels, patch, patch] for other channels and patches. Channels: a grey image is one whose
 * channels are equal, so they are summed for one and shared out for several. Patches: laid on the new grid by bilinear
 * interpolation and scaled by the ratio of areas, so that an even patch gives about the same token.
 */
function fittedProjection(
  { width, channels, patchPx }: VitConfig,
  projection: NamedTensor,
  changes: string[],
): NamedTensor {
  const [, from = 0, height = 0, across = 0] = projection.shape;
  if (projection.shape.length !== 4 || height !== across) throw foreign("(patches are not square)");
  if (from === channels && height === patchPx) return projection;
  if (from !== channels) changes.push(`channels: ${from} summed, then shared out over ${channels}`);
  if (height !== patchPx) changes.push(`patches: ${height} px laid on ${patchPx} px`);
  const values = new Float32Array(width * channels * patchPx ** 2);
  for (let out = 0; out < width; out++) {
    const start = out * from * height ** 2;
    const planes = projection.values.subarray(start, start + from * height ** 2);
    for (let channel = 0; channel < channels; channel++) {
      const plane =
        from === channels
          ? planes.subarray(channel * height ** 2, (channel + 1) * height ** 2)
          : sumOfPlanes(planes, from, height ** 2, 1 / channels);
      values.set(resizedPatch(plane, height, patchPx), (out * channels + channel) * patchPx ** 2);
    }
  }
  return { shape: [width, channels, patchPx, patchPx], values };
}

const sumOfPlanes = (planes: Float32Array, count: number, area: number, factor: number): Float32Array =>
  Float32Array.from({ length: area }, (_, i) => {
    let sum = 0;
    for (let plane = 0; plane < count; plane++) sum += planes[plane * area + i] ?? NaN;
    return sum * factor;
  });

/** Bilinear, with pixels' centres aligned. */
function resizedPatch(patch: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return patch;
  const at = (row: number, column: number): number => patch[row * from + column] ?? NaN;
  const along = Array.from({ length: to }, (_, i) => centreAmong(i, to, from));
  return Float32Array.from(
    along.flatMap((down) => along.map((across) => bilinear(at, down, across) * (from / to) ** 2)),
  );
}

/**
 * Our positions are fixed and the class token's is zero, so the file's position of the class token goes into the token
 * itself. Those of the patches cannot be carried over; training has to learn where they differ from ours.
 */
function placedClassToken({ width }: VitConfig, tensors: Tensors, changes: string[]): NamedTensor {
  const token = tensorOf(tensors, CLASS_TOKEN);
  const positions = tensors.get(POSITIONS);
  if (positions === undefined) return token;
  const likeness = sinCosLikeness(positions, width);
  if (likeness !== null && likeness < 0.99) {
    changes.push(
      `positions: learned ones (likeness to the fixed ones ${likeness.toFixed(2)}) are replaced by fixed ones; the first rounds make up for it`,
    );
  }
  const values = token.values.map((value, i) => value + (positions.values[i] ?? 0));
  return { shape: [1, 1, width], values };
}

/** Cosine between a file's positions and the fixed ones on the same grid; null where the grid is not square. */
function sinCosLikeness({ values, shape }: NamedTensor, width: number): number | null {
  const patches = (shape.at(-2) ?? 0) - 1;
  const grid = Math.round(Math.sqrt(patches));
  if (grid < 1 || grid * grid !== patches || elementCount(shape) !== (patches + 1) * width) return null;
  const fixed = sinCosPositions(grid, width);
  let [dot, own, other] = [0, 0, 0];
  for (const [i, value] of fixed.entries()) {
    const theirs = values[width + i] ?? 0;
    dot += value * theirs;
    own += value * value;
    other += theirs * theirs;
  }
  return other === 0 ? 0 : dot / Math.sqrt(own * other);
}

/** A whole model's weights with another encoder in them; the pretext heads stay as they are. */
export function withEncoder(model: Checkpoint, encoder: Checkpoint): Checkpoint {
  const values = Float32Array.from(model.values);
  const places = tensorViews(model.manifest, values);
  for (const [name, view] of tensorViews(encoder.manifest, encoder.values)) {
    const place = places.get(name);
    if (place?.length !== view.length) throw new ConsiliumError("manifest.mismatch", { culprits: [name] });
    place.set(view);
  }
  return { manifest: model.manifest, values };
}

function tensorOf(tensors: Tensors, name: string): NamedTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw foreign("(weights are missing)", name);
  return tensor;
}

const foreign = (detail: string, ...culprits: string[]): ConsiliumError =>
  new ConsiliumError("weights.foreign", { detail, culprits });
