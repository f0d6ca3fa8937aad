/** What every downstream network sees: crops of cached images or volumes, standardised inside the compiled graph. */
import type { Tensor } from "@tensorflow/tfjs-core";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { Crop } from "../dataset/crops.ts";
import { describeShape, type RecordShape } from "../dataset/types.ts";
import { wholeVolume, type VolumeCrop } from "../dataset/volume-crops.ts";
import type { InputTensors } from "../engine/types.ts";
import {
  cropArrays,
  cropInputs,
  seen,
  type CachedBox,
  type CropArrays,
  type CropInputs,
  type VolumeCropArrays,
  type VolumeCropInputs,
} from "../model/crop-inputs.ts";
import { standardise } from "../model/images.ts";
import { patchCount, type VitConfig } from "../model/sizes.ts";

export interface ViewInputs {
  readonly [name: string]: { readonly shape: readonly number[]; readonly dtype: "uint8" | "float32" };
  readonly images: { readonly shape: readonly number[]; readonly dtype: "uint8" };
  readonly cropRows: { readonly shape: readonly number[]; readonly dtype: "float32" };
  readonly cropColumns: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

/** Of an image, or of a volume under a plan for volumes. */
export type ViewCrop = Crop | VolumeCrop;

export interface ViewOptions {
  readonly config: VitConfig;
  /** What is cached of an image or volume. */
  readonly cached: CachedBox;
  readonly batchSize: number;
}

export const viewInputs = ({ config, cached, batchSize }: ViewOptions): ViewInputs =>
  cropInputs(config, cached, batchSize);

/**
 * @param images uint8 [crops.length, cached slices, cached rows, cached columns, channels]
 */
export function viewArrays(
  config: VitConfig,
  cached: CachedBox,
  images: Uint8Array,
  crops: readonly ViewCrop[],
): { readonly images: Uint8Array } & (CropArrays | VolumeCropArrays) {
  return { images, ...cropArrays(config, cached, crops) };
}

/** As many whole images as a batch holds. */
export function wholeImages(cached: CachedBox, batchSize: number): readonly VolumeCrop[] {
  return Array.from({ length: batchSize }, () => wholeVolume(cached));
}

/** Tokens that attention may look at together where nothing is trained: of volumes fewer are asked at once. */
const MOST_TOKENS = 4096;

/** @param most of images */
export function inferenceBatch(config: VitConfig, most: number): number {
  if (config.volume === undefined) return most;
  return Math.min(most, Math.max(1, Math.floor(MOST_TOKENS / patchCount(config))));
}

/**
 * @param test null if there is none of its own
 * @throws config.invalid unless both caches hold records of one shape, cache.wrong-size for images under a plan for volumes and
 * the other way round
 */
export function assertFits({ volume }: VitConfig, train: RecordShape, test: RecordShape | null): void {
  if ((volume === undefined) !== (train.depthPx === 1)) {
    const wanted = volume === undefined ? "images" : "volumes";
    throw new ConsiliumError("cache.wrong-size", {
      detail: `(${describeShape(train)}; the plan is for ${wanted})`,
    });
  }
  if (test === null || (test.sizePx === train.sizePx && test.depthPx === train.depthPx)) return;
  throw new ConsiliumError("config.invalid", {
    detail: `(the training images have ${describeShape(train)}, the test images ${describeShape(test)})`,
    culprits: ["test"],
  });
}

/** From slice to slice of a volume, in units of the distance from pixel to pixel; 1 for images. */
export const sliceStepOf = (volume: Plan["volume"] | undefined): number =>
  volume == null ? 1 : volume.sliceSpacingMm / volume.pixelSpacingMm;

export type ViewTensors = InputTensors<CropInputs> | InputTensors<VolumeCropInputs>;

/** Cropped and standardised, [N, imagePx, imagePx, channels]; of volumes [N, depthPx * imagePx, imagePx, channels]. */
export const seeImages = (inputs: ViewTensors): Tensor => standardise(seen(inputs)).images;
