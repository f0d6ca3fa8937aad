/** What every downstream network sees: crops of cached images, standardised inside the compiled graph. */
import type { Tensor } from "@tensorflow/tfjs-core";
import { cropMatrices, wholeImage, type Crop } from "../dataset/crops.ts";
import type { InputArrays } from "../engine/types.ts";
import { cropImages, standardise } from "../model/images.ts";
import type { VitConfig } from "../model/sizes.ts";

export interface ViewInputs {
  readonly [name: string]: { readonly shape: readonly number[]; readonly dtype: "uint8" | "float32" };
  readonly images: { readonly shape: readonly number[]; readonly dtype: "uint8" };
  readonly cropRows: { readonly shape: readonly number[]; readonly dtype: "float32" };
  readonly cropColumns: { readonly shape: readonly number[]; readonly dtype: "float32" };
}

export interface ViewOptions {
  readonly config: VitConfig;
  /** Side of the cached images. */
  readonly cachePx: number;
  readonly batchSize: number;
}

export function viewInputs({ config, cachePx, batchSize }: ViewOptions): ViewInputs {
  const { imagePx, channels } = config;
  return {
    images: { shape: [batchSize, cachePx, cachePx, channels], dtype: "uint8" },
    cropRows: { shape: [batchSize, imagePx, cachePx], dtype: "float32" },
    cropColumns: { shape: [batchSize, imagePx, cachePx], dtype: "float32" },
  };
}

/**
 * @param images uint8 [crops.length, cachePx, cachePx, channels]
 */
export function viewArrays(
  config: VitConfig,
  cachePx: number,
  images: Uint8Array,
  crops: readonly Crop[],
): InputArrays<Pick<ViewInputs, "images" | "cropRows" | "cropColumns">> {
  const { rows, columns } = cropMatrices(crops, cachePx, config.imagePx);
  return { images, cropRows: rows, cropColumns: columns };
}

/** As many whole images as a batch holds. */
export function wholeImages(cachePx: number, batchSize: number): readonly Crop[] {
  return Array.from({ length: batchSize }, () => wholeImage(cachePx));
}

export type ViewTensors = Readonly<Record<"images" | "cropRows" | "cropColumns", Tensor>>;

/** Cropped and standardised, [N, imagePx, imagePx, channels]. */
export function seeImages({ images, cropRows, cropColumns }: ViewTensors): Tensor {
  return standardise(cropImages(images, cropRows, cropColumns)).images;
}
