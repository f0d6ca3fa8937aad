/** The encoder's features of whole images and of another view of each, for a look at its health. */
import type { Plan } from "@consilium/shared/plan";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Random } from "../dataset/random.ts";
import { wholeVolume } from "../dataset/volume-crops.ts";
import * as tf from "../engine/tf.ts";
import type { InferenceDefinition, InputArrays } from "../engine/types.ts";
import { standardise } from "../model/images.ts";
import { patchCount, vitConfig } from "../model/sizes.ts";
import { encode, vitParameters } from "../model/vit.ts";
import {
  cachedBox,
  cropArrays,
  cropInputs,
  randomCrops,
  seen,
  type CropInputs,
} from "../model/crop-inputs.ts";
import { pooled } from "./projector.ts";

const VIEWS = 2;

/** Output `features`, [2 N, D]: the whole images, then a crop of each. */
export function featureDefinition(plan: Plan, batch: number): InferenceDefinition<CropInputs> {
  const encoder = vitConfig(plan.model);
  return {
    parameters: vitParameters(encoder),
    inputs: cropInputs(encoder, cachedBox(plan), batch, VIEWS),
    forward: (weights, inputs) => {
      const twice = { ...inputs, images: tf.concat([inputs.images, inputs.images], 0) };
      const tokens: Tensor = encode(weights, standardise(seen(twice)).images, encoder);
      return { features: pooled(tokens) };
    },
  };
}

/** Output `tokens`, [N, L, D]: of the patches of whole images, row by row. */
export function tokenDefinition(plan: Plan, batch: number): InferenceDefinition<CropInputs> {
  const encoder = vitConfig(plan.model);
  return {
    parameters: vitParameters(encoder),
    inputs: cropInputs(encoder, cachedBox(plan), batch),
    forward: (weights, inputs) => {
      const tokens = encode(weights, standardise(seen(inputs)).images, encoder); // [N, 1 + L, D]
      return { tokens: tf.slice(tokens, [0, 1, 0], [batch, patchCount(encoder), encoder.width]) };
    },
  };
}

/** @param images so many as the definition's batch */
export function featureArrays(
  plan: Plan,
  images: Uint8Array,
  batch: number,
  random: Random,
): InputArrays<CropInputs> {
  const encoder = vitConfig(plan.model);
  const cache = cachedBox(plan);
  const whole = Array.from({ length: batch }, () => wholeVolume(cache));
  const crops = [...whole, ...randomCrops(encoder, cache, plan.pretext, batch, random)];
  return { images, ...cropArrays(encoder, cache, crops) };
}
