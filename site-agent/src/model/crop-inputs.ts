/** Crops of a batch as inputs of the step, of images and of volumes: what all networks begin with. */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import { cropMatrices, randomCrop, type Crop, type CropOptions } from "../dataset/crops.ts";
import type { Random } from "../dataset/random.ts";
import type { RecordShape } from "../dataset/types.ts";
import {
  randomVolumeCrop,
  volumeCropMatrices,
  wholeVolume,
  type VolumeCrop,
} from "../dataset/volume-crops.ts";
import type { InputArrays, InputDtype, InputTensors } from "../engine/types.ts";
import { cropImages, cropVolumes } from "./images.ts";
import type { VitConfig } from "./sizes.ts";

export interface Input<Dtype extends InputDtype> {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

// Interfaces would lack the index signature of InputSpecs.
export type CropInputs = {
  readonly images: Input<"uint8">;
  readonly cropRows: Input<"float32">;
  readonly cropColumns: Input<"float32">;
};
export type VolumeCropInputs = CropInputs & { readonly cropSlices: Input<"float32"> };

/** What is cached of an image or volume, but for its channels. */
export type CachedBox = Pick<RecordShape, "sizePx" | "depthPx">;

export const cachedBox = ({ cachePx, volume }: Pick<Plan, "cachePx" | "volume">): CachedBox => ({
  sizePx: cachePx,
  depthPx: volume?.depthPx ?? 1,
});

/** @param crops of each image */
export function cropInputs(
  { imagePx, channels, volume }: VitConfig,
  { sizePx, depthPx }: CachedBox,
  batch: number,
  crops = 1,
): CropInputs | VolumeCropInputs {
  const inputs = {
    // A volume's slices lie below each other.
    images: { shape: [batch, depthPx * sizePx, sizePx, channels], dtype: "uint8" },
    cropRows: { shape: [crops * batch, imagePx, sizePx], dtype: "float32" },
    cropColumns: { shape: [crops * batch, imagePx, sizePx], dtype: "float32" },
  } as const;
  if (volume === undefined) return inputs;
  return {
    ...inputs,
    cropSlices: { shape: [crops * batch, volume.depthPx, depthPx], dtype: "float32" },
  };
}

export function randomCrops(
  { volume }: VitConfig,
  cache: CachedBox,
  options: CropOptions,
  count: number,
  random: Random,
): readonly (Crop | VolumeCrop)[] {
  return Array.from({ length: count }, () =>
    volume === undefined
      ? randomCrop(cache.sizePx, options, random)
      : randomVolumeCrop(cache, options, random),
  );
}

export type CropArrays = Pick<InputArrays<CropInputs>, "cropRows" | "cropColumns">;
export type VolumeCropArrays = Pick<InputArrays<VolumeCropInputs>, "cropRows" | "cropColumns" | "cropSlices">;

export function cropArrays(
  { imagePx, volume }: Pick<VitConfig, "imagePx" | "volume">,
  cache: CachedBox,
  crops: readonly (Crop | VolumeCrop)[],
): CropArrays | VolumeCropArrays {
  if (volume === undefined) {
    const { rows, columns } = cropMatrices(crops, cache.sizePx, imagePx);
    return { cropRows: rows, cropColumns: columns };
  }
  const whole = { front: 0, depth: cache.depthPx };
  const boxes = crops.map((crop) => ({ ...whole, ...crop }));
  const target = { sizePx: imagePx, depthPx: volume.depthPx };
  const { rows, columns, slices } = volumeCropMatrices(boxes, cache, target);
  return { cropRows: rows, cropColumns: columns, cropSlices: slices };
}

/** Whole images instead of crops. @param images so many as the batch */
export function wholeArrays(
  plan: Pick<Plan, "cachePx" | "volume">,
  encoder: VitConfig,
  images: Uint8Array,
  batch: number,
): InputArrays<CropInputs> {
  const cache = cachedBox(plan);
  const whole = Array.from({ length: batch }, () => wholeVolume(cache));
  return { images, ...cropArrays(encoder, cache, whole) };
}

/** The crops, [N, S, S, channels], of volumes [N, D S, S, channels], 0 to 255. */
export function seen(inputs: InputTensors<CropInputs> | InputTensors<VolumeCropInputs>): Tensor {
  const { images, cropRows, cropColumns } = inputs;
  if ("cropSlices" in inputs) return cropVolumes(images, inputs.cropSlices, cropRows, cropColumns);
  return cropImages(images, cropRows, cropColumns);
}
