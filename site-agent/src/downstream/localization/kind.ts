/** Boxes as labels. They follow the crops of their images. */
import { readImages } from "../../dataset/batches.ts";
import type { Box } from "../../dataset/boxes.ts";
import type { CachedImages } from "../../dataset/cache.ts";
import { wholeImage, type Crop } from "../../dataset/crops.ts";
import { knows, type Known } from "../../dataset/known.ts";
import type { LabelledImage } from "../../dataset/labels.ts";
import * as tf from "../../engine/tf.ts";
import type { InferenceDefinition, Parameter } from "../../engine/types.ts";
import { placeInSquare } from "../../ingest/resize.ts";
import { patchCount, type VitConfig } from "../../model/sizes.ts";
import { mayFlip, type LabelKind } from "../label-kind.ts";
import type { ImageOutputs } from "../predict.ts";
import { seeImages, viewArrays, viewInputs, type ViewInputs, type ViewOptions } from "../views.ts";
import {
  averagePrecision,
  frocCurve,
  frocScore,
  matchDetections,
  meanAveragePrecision,
  type Located,
} from "./detection-metrics.ts";
import { initialLocalizationHead, localizationLoss, localizationParameters, locate } from "./network.ts";
import { area, intoSquare, intoView, iou, suppress, type Detection, type Target } from "./rectangles.ts";
import { targetsOf } from "./targets.ts";

export interface BoxedSet {
  readonly cache: CachedImages;
  readonly boxes: ReadonlyMap<string, readonly Box[]>;
  readonly known: Known;
}

interface LocalizationInputs extends ViewInputs {
  /** [N, L, C] */
  readonly heat: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [N, L, 4] */
  readonly boxes: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [N, C]: 1, or 0 where nobody looked for a class. */
  readonly known: { readonly shape: readonly number[]; readonly dtype: "float32" };
  /** [N, L] */
  readonly nearness: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** Less sure tokens are not worth listing. */
const LEAST_SCORE = 0.02;
const MOST_DETECTIONS = 100;
const SAME_OVERLAP = 0.5;
/** A box that a crop leaves less of than this is not to be found there. */
const LEAST_LEFT = 0.3;
/** Surer than this is drawn in reports, and written as a finding. */
export const DRAWN_SCORE = 0.3;

/** Class names of the boxes, in a fixed order. */
export function boxClasses(...sets: readonly BoxedSet[]): readonly string[] {
  const names = sets.flatMap(({ boxes }) =>
    [...boxes.values()].flatMap((all) => all.map(({ label }) => label)),
  );
  return [...new Set(names)].sort();
}

export function boxesAsLabels(
  cachePx: number,
  classes: readonly string[],
  config: VitConfig,
): LabelKind<BoxedSet, LocalizationInputs, Located> {
  const patches = patchCount(config);
  const cached = { sizePx: cachePx, depthPx: 1 };
  const whole = wholeImage(cachePx);
  const knownOn = ({ cache, known }: BoxedSet, index: number): readonly boolean[] =>
    classes.map((name) => knows(known, cache.records[index]?.image ?? "", name));
  const judge = (
    set: BoxedSet,
    { index }: LabelledImage,
    { scores = EMPTY, boxes = EMPTY }: ImageOutputs,
  ): Located => {
    const known = knownOn(set, index);
    const said = detectionsOf(scores, boxes, classes.length, cachePx / config.imagePx);
    return {
      truth: truthOf(set, index, classes),
      // Whether the others are right nobody knows.
      detections: said.filter((detection) => known[detection.class] === true),
    };
  };
  return {
    task: "localization",
    classes,
    measures: ["mAP@.5", "FROC"],
    flips: mayFlip(classes),
    labelled: ({ cache, boxes, known }) =>
      cache.records.flatMap(({ image, patient }, index) =>
        classes.some((name) => knows(known, image, name))
          ? [{ index, patient, label: (boxes.get(image) ?? []).length > 0 ? "some" : "none" }]
          : [],
      ),
    headParameters: localizationParameters(config, classes.length),
    initialHead: (seed) => initialLocalizationHead(config, classes.length, seed),
    trainStep: (batchSize, parameters, optimizer) => ({
      parameters,
      optimizer,
      inputs: {
        ...viewInputs({ config, cached, batchSize }),
        heat: { shape: [batchSize, patches, classes.length], dtype: "float32" },
        boxes: { shape: [batchSize, patches, 4], dtype: "float32" },
        nearness: { shape: [batchSize, patches], dtype: "float32" },
        known: { shape: [batchSize, classes.length], dtype: "float32" },
      },
      loss: (weights, inputs) => ({
        loss: localizationLoss(locate(weights, seeImages(inputs), config), inputs),
      }),
    }),
    inference: (batchSize, parameters) => localizationInference({ config, cached, batchSize }, parameters),
    batches: (set) => (images, crops) => {
      const indices = images.map(({ index }) => index);
      const heat = new Float32Array(images.length * patches * classes.length);
      const boxes = new Float32Array(images.length * patches * 4);
      const nearness = new Float32Array(images.length * patches);
      for (const [i, { index }] of images.entries()) {
        const seen = visible(truthOf(set, index, classes), crops[i] ?? whole, config.imagePx);
        const targets = targetsOf(seen, config, classes.length);
        heat.set(targets.heat, i * targets.heat.length);
        boxes.set(targets.boxes, i * targets.boxes.length);
        nearness.set(targets.nearness, i * targets.nearness.length);
      }
      const pixels = readImages(set.cache, indices, config.channels);
      const known = Float32Array.from(indices.flatMap((index) => knownOn(set, index).map(Number)));
      return { ...viewArrays(config, cached, pixels, crops), heat, boxes, nearness, known };
    },
    judge,
    statistics: (judged) => ({
      "mAP@.5": meanAveragePrecision(judged, classes.length),
      FROC: frocScore(judged, classes.length),
      ...(classes.length === 1
        ? {}
        : Object.fromEntries(classes.map((name, c) => [`AP@.5 ${name}`, averagePrecision(judged, c)]))),
    }),
    curves: (judged) => [
      { name: "Sensitivity over false positives an image (FROC)", points: frocCurve(judged, classes.length) },
    ],
    goodness,
    shapes: (set, image, outputs) => {
      const { detections, truth } = judge(set, image, outputs);
      const said = detections.filter(({ score }) => score >= DRAWN_SCORE);
      return { kind: "boxes", classes, said, truth };
    },
  };
}

/** `scores` [N, L, C] of each token and class, `boxes` [N, L, 4] in pixels of the view. */
export function localizationInference(
  options: ViewOptions,
  parameters: readonly Parameter[],
): InferenceDefinition<ViewInputs> {
  return {
    parameters,
    inputs: viewInputs(options),
    forward: (weights, inputs) => {
      const { heat, boxes } = locate(weights, seeImages(inputs), options.config);
      return { scores: tf.sigmoid(heat), boxes };
    },
  };
}

const EMPTY = new Float32Array();

/** An image's boxes in pixels of the cached square. Boxes of a class that training knows nothing of are left out. */
function truthOf({ cache, boxes }: BoxedSet, index: number, classes: readonly string[]): Target[] {
  const record = cache.records[index];
  if (record === undefined) return [];
  const place = placeInSquare(record.rows, record.columns, cache.sizePx);
  return (boxes.get(record.image) ?? []).flatMap(({ label, x, y, width, height }) => {
    const c = classes.indexOf(label);
    // Of ultrasound only a region is cached, and boxes are those of the whole image.
    const left = x - (record.left ?? 0);
    const top = y - (record.top ?? 0);
    const original = { class: c, left, top, right: left + width, bottom: top + height };
    return c === -1 ? [] : [intoSquare(original, place, record)];
  });
}

/** What a crop leaves of the boxes, in pixels of the view. */
function visible(targets: readonly Target[], crop: Crop, viewPx: number): Target[] {
  const scale = viewPx ** 2 / (crop.width * crop.height);
  return targets.flatMap((target) => {
    const seen = intoView(target, crop, viewPx);
    return area(seen) > LEAST_LEFT * area(target) * scale ? [seen] : [];
  });
}

/**
 * The tokens that are sure enough, without repetitions, in pixels of the cached square.
 * @param scale from pixels of the view to those of the square
 */
export function detectionsOf(
  scores: Float32Array,
  boxes: Float32Array,
  classes: number,
  scale: number,
): Detection[] {
  const found: Detection[] = [];
  for (const [at, score] of scores.entries()) {
    if (score < LEAST_SCORE) continue;
    const box = Math.floor(at / classes) * 4;
    const [left = 0, top = 0, right = 0, bottom = 0] = boxes.subarray(box, box + 4).map((px) => px * scale);
    found.push({ class: at % classes, score, left, top, right, bottom });
  }
  return suppress(found, SAME_OVERLAP).slice(0, MOST_DETECTIONS);
}

/** Panoptic quality (Kirillov et al. 2019) of what the report draws: overlaps of the right ones by the mean of said and there. */
function goodness({ detections, truth }: Located): number {
  const drawn = detections.filter(({ score }) => score >= DRAWN_SCORE);
  if (drawn.length + truth.length === 0) return 1;
  const hits = matchDetections({ detections: drawn, truth });
  const overlaps = drawn.map((detection, i) =>
    hits[i] === true
      ? Math.max(...truth.map((target) => (target.class === detection.class ? iou(target, detection) : 0)))
      : 0,
  );
  return (2 * overlaps.reduce((sum, overlap) => sum + overlap, 0)) / (drawn.length + truth.length);
}
