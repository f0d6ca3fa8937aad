/** Masks as labels. Image and mask are cropped by the same matrices, inside the compiled step. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { CachedImages } from "../../dataset/cache.ts";
import { coverageOf, type MaskSet } from "../../dataset/masks.ts";
import { readImages } from "../../dataset/batches.ts";
import { knows } from "../../dataset/known.ts";
import * as tf from "../../engine/tf.ts";
import type { InferenceDefinition, Parameter } from "../../engine/types.ts";
import { placeInSquare } from "../../ingest/resize.ts";
import { cropArrays, seen, type CachedBox } from "../../model/crop-inputs.ts";
import { cropImages, cropVolumes } from "../../model/images.ts";
import type { VitConfig } from "../../model/sizes.ts";
import { mayFlip, type LabelKind } from "../label-kind.ts";
import type { Statistic } from "../metrics.ts";
import {
  seeImages,
  sliceStepOf,
  viewArrays,
  viewInputs,
  wholeImages,
  type ViewInputs,
  type ViewOptions,
} from "../views.ts";
import {
  initialSegmentationHead,
  segment,
  segmentationLoss,
  segmentationParameters,
  type SegmentationHead,
} from "./network.ts";
import { dice, hd95, type MaskSize } from "./overlap.ts";

export interface MaskedSet {
  readonly cache: CachedImages;
  readonly masks: MaskSet;
}

interface SegmentationInputs extends ViewInputs {
  /** Coverage by each class, 0 to 255, as the images lie but for the channels: [.., C]. */
  readonly masks: { readonly shape: readonly number[]; readonly dtype: "uint8" };
  /** [N, C]: 1, or 0 where nobody looked for a class. */
  readonly known: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** One test image, by class; null where neither mask has a pixel, or nobody looked for the class. */
export interface JudgedMasks {
  readonly dice: readonly (number | null)[];
  /** In pixels of the original, of volumes in millimetres. */
  readonly hd95: readonly (number | null)[];
}

/**
 * `probabilities` of each class in each pixel of what is cached: [N, cachePx, cachePx, C], slices of a volume below each other. Where
 * the classes allow it, the mean of what is said of the image and of its mirror image.
 */
export function segmentationInference(
  options: ViewOptions,
  head: SegmentationHead,
  classes: readonly string[],
  parameters: readonly Parameter[],
): InferenceDefinition<ViewInputs> {
  const { config, cached } = options;
  return {
    parameters,
    inputs: viewInputs(options),
    forward: (weights, inputs) => {
      const say = (images: tf.Tensor): tf.Tensor => tf.sigmoid(segment(weights, images, config, head));
      const images = seeImages(inputs);
      const probabilities = mayFlip(classes)
        ? tf.div(tf.add(say(images), mirror(say(mirror(images)))), 2)
        : say(images);
      return { probabilities: enlarge(probabilities, config, cached) };
    },
  };
}

/** Left to right, [N, height, width, C], also of slices below each other. */
const mirror = (images: tf.Tensor): tf.Tensor => tf.reverse(images, 2);

/** Half covered, and half sure. */
const COVERED = 128;
export const SURE = 0.5;

/** @param released the classes of the federation's head, in its order; null takes those that the masks have */
export function masksAsLabels(
  { masks, cache: cached }: MaskedSet,
  config: VitConfig,
  head: SegmentationHead,
  volume: Plan["volume"] = null,
  released: readonly string[] | null = null,
): LabelKind<MaskedSet, SegmentationInputs, JudgedMasks> {
  const classes = released ?? masks.classes;
  const knownOn = ({ cache, masks: { known } }: MaskedSet, index: number): readonly boolean[] =>
    classes.map((name) => knows(known, cache.records[index]?.image ?? "", name));
  const hd95Name = volume === null ? "hd95" : "hd95_mm";
  return {
    task: "segmentation",
    classes,
    measures: ["dice", hd95Name],
    flips: mayFlip(classes),
    labelled: (set) =>
      set.cache.records.flatMap(({ image, patient }, index) =>
        classes.some((name) => knows(set.masks.known, image, name))
          ? [{ index, patient, label: "mask" }]
          : [],
      ),
    headParameters: segmentationParameters(config, head, classes.length),
    initialHead: (seed) => initialSegmentationHead(config, head, classes.length, seed),
    trainStep: (batchSize, parameters, optimizer) => ({
      parameters,
      optimizer,
      inputs: {
        ...viewInputs({ config, cached, batchSize }),
        masks: {
          shape: [batchSize, cached.depthPx * cached.sizePx, cached.sizePx, classes.length],
          dtype: "uint8",
        },
        known: { shape: [batchSize, classes.length], dtype: "float32" },
      },
      loss: (weights, inputs) => {
        const coverage = tf.div(seen({ ...inputs, images: inputs.masks }), 255);
        const logits = segment(weights, seeImages(inputs), config, head);
        return { loss: segmentationLoss(logits, coverage, inputs.known) };
      },
    }),
    inference: (batchSize, parameters) =>
      segmentationInference({ config, cached, batchSize }, head, classes, parameters),
    batches: (set) => (images, crops) => ({
      ...viewArrays(
        config,
        cached,
        readImages(
          set.cache,
          images.map(({ index }) => index),
          config.channels,
        ),
        crops,
      ),
      masks: readMasks(
        set,
        classes,
        images.map(({ index }) => index),
      ),
      known: Float32Array.from(images.flatMap(({ index }) => knownOn(set, index).map(Number))),
    }),
    judge: (set, image, { probabilities = new Float32Array() }) => {
      const truth = planes(readMasks(set, classes, [image.index]), classes.length, COVERED);
      const said = planes(probabilities, classes.length, SURE);
      const { cut, size, unit } = judgedPart(set.cache, image.index, volume);
      const pairs = classes.map((_, c) => [cut(said[c] ?? EMPTY), cut(truth[c] ?? EMPTY)] as const);
      const known = knownOn(set, image.index);
      return {
        dice: pairs.map(([a, b], c) => (known[c] === true ? dice(a, b) : null)),
        hd95: pairs.map(([a, b], c) => {
          const pixels = known[c] === true ? hd95(a, b, size) : null;
          return pixels === null ? null : pixels * unit;
        }),
      };
    },
    statistics: (judged) => ({
      dice: meanOverClasses(judged.map((each) => each.dice)),
      [hd95Name]: meanOverClasses(judged.map((each) => each.hd95)),
      ...(classes.length === 1
        ? {}
        : Object.fromEntries(
            classes.flatMap((name, c) => [
              [`dice ${name}`, meanOverClasses(judged.map((each) => [each.dice[c] ?? null]))],
              [`${hd95Name} ${name}`, meanOverClasses(judged.map((each) => [each.hd95[c] ?? null]))],
            ]),
          )),
    }),
    curves: (judged) => [
      {
        name: "Share of images with at least this Dice",
        points: survival(judged.flatMap(({ dice: values }) => values.filter((value) => value !== null))),
      },
    ],
    goodness: ({ dice: values }) => average(values.filter((value) => value !== null)) ?? 1,
    shapes: (set, image, { probabilities = new Float32Array() }) => {
      const known = knownOn(set, image.index);
      // What nobody looked for is not drawn: without its truth it would seem wrong.
      const drawn = (masks: readonly Uint8Array[]): Uint8Array[] =>
        masks.map((mask, c) => (known[c] === true ? mask : new Uint8Array(mask.length)));
      return {
        kind: "masks",
        classes,
        said: drawn(planes(probabilities, classes.length, SURE)),
        truth: drawn(planes(readMasks(set, classes, [image.index]), classes.length, COVERED)),
      };
    },
  };
}

const EMPTY = new Uint8Array();

/** Linear between pixels, to what is cached, where the labels are. */
function enlarge(maps: tf.Tensor, { imagePx, volume }: VitConfig, { sizePx, depthPx }: CachedBox): tf.Tensor {
  const [batch = 0] = maps.shape;
  const from = { sizePx: imagePx, depthPx: volume?.depthPx ?? 1 };
  if (from.sizePx === sizePx && from.depthPx === depthPx) return maps;
  // The cached square is what the network would have to see.
  const to = { imagePx: sizePx, ...(volume === undefined ? {} : { volume: { ...volume, depthPx } }) };
  const matrices = cropArrays(to, from, wholeImages(from, 1));
  const everywhere = (matrix: Float32Array, places: number, source: number): tf.Tensor =>
    tf.tile(tf.tensor(matrix, [1, places, source]), [batch, 1, 1]);
  const rows = everywhere(matrices.cropRows, sizePx, imagePx);
  const columns = everywhere(matrices.cropColumns, sizePx, imagePx);
  if (!("cropSlices" in matrices)) return cropImages(maps, rows, columns);
  return cropVolumes(maps, everywhere(matrices.cropSlices, depthPx, from.depthPx), rows, columns);
}

interface JudgedPart {
  readonly cut: (mask: Uint8Array) => Uint8Array;
  readonly size: MaskSize;
  /** Of distances: pixels of the original, or millimetres, in a pixel of what is cached. */
  readonly unit: number;
}

/** What masks are compared on: the part of the cached square that the image covers, or all of a volume's grid. */
function judgedPart(
  { records, sizePx, depthPx }: CachedImages,
  index: number,
  volume: Plan["volume"],
): JudgedPart {
  if (volume !== null) {
    const size = { width: sizePx, height: sizePx, depth: depthPx, sliceStep: sliceStepOf(volume) };
    return { cut: (mask) => mask, size, unit: volume.pixelSpacingMm };
  }
  const { rows = sizePx, columns = sizePx } = records[index] ?? {};
  const place = placeInSquare(rows, columns, sizePx);
  return {
    cut: (mask) => cutOut(mask, sizePx, place),
    size: { width: place.width, height: place.height },
    unit: Math.max(rows, columns) / sizePx,
  };
}

/**
 * The masks of these classes, whatever else the set has: uint8 [indices.length, slices, rows, columns, C] of what is cached.
 * @throws labels.too-few if the set knows nothing of a class
 */
function readMasks(
  { cache, masks }: MaskedSet,
  classes: readonly string[],
  indices: readonly number[],
): Uint8Array {
  const missing = classes.filter((name) => !masks.classes.includes(name));
  if (missing.length > 0) {
    throw new ConsiliumError("labels.too-few", { detail: `(no masks of ${missing.join(", ")} to test on)` });
  }
  const images = indices.map((index) => cache.records[index]?.image ?? "");
  return coverageOf(masks, images, classes);
}

/** Each class's mask of values of at least `threshold`, from [places, C]. */
function planes(values: ArrayLike<number>, classes: number, threshold: number): Uint8Array[] {
  return Array.from({ length: classes }, (_, c) =>
    Uint8Array.from({ length: values.length / classes }, (_value, at) =>
      Number((values[at * classes + c] ?? 0) >= threshold),
    ),
  );
}

/** The part of the square that the image covers. */
function cutOut(
  mask: Uint8Array,
  sizePx: number,
  { left, top, width, height }: MaskSize & { readonly left: number; readonly top: number },
): Uint8Array {
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * sizePx + left;
    out.set(mask.subarray(start, start + width), y * width);
  }
  return out;
}

/** For each class the mean over images that say something of it, then the mean over classes. */
function meanOverClasses(values: readonly (readonly (number | null)[])[]): Statistic {
  const classes = values[0]?.length ?? 0;
  return (weights) => {
    const means: number[] = [];
    for (let c = 0; c < classes; c++) {
      let sum = 0;
      let total = 0;
      for (const [i, each] of values.entries()) {
        const value = each[c] ?? null;
        if (value === null) continue;
        const weight = weights?.[i] ?? 1;
        sum += weight * value;
        total += weight;
      }
      if (total > 0) means.push(sum / total);
    }
    return average(means);
  };
}

const average = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

/** At each hundredth, the share of the values that reach it. */
function survival(values: readonly number[]): { x: number; y: number }[] {
  return Array.from({ length: 101 }, (_, i) => {
    const reached = values.filter((value) => value >= i / 100).length;
    return { x: i / 100, y: values.length === 0 ? 0 : reached / values.length };
  });
}
