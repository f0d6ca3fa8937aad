/** What tasks on two views have in common: inputs, and a batch that cannot be cut. */
import type { Plan } from "@consilium/shared/plan";
import { recordBytes } from "../dataset/types.ts";
import { cachedBox } from "../model/crop-inputs.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { assertTransformer, type VitConfig } from "../model/sizes.ts";
import type { PretextParameter, PretextTask } from "./types.ts";
import { twoViewArrays, twoViewInputs, type TwoViewInputs, type ViewSettings } from "./views.ts";

/** @throws plan.invalid if the encoder's width does not fit its heads */
export function comparingTask(
  plan: Pick<Plan, "cachePx" | "volume">,
  encoder: VitConfig,
  settings: ViewSettings & { readonly task: string },
  parameters: readonly PretextParameter[],
  loss: PretextTask<TwoViewInputs>["loss"],
): PretextTask<TwoViewInputs> {
  assertTransformer("model", encoder);
  const cache = cachedBox(plan);
  const bytes = recordBytes({ ...cache, channels: encoder.channels });
  return {
    name: settings.task,
    parameters,
    inputs: (examples) => twoViewInputs(encoder, cache, examples),
    loss,
    // Every image is compared with the others of its batch.
    separable: false,
    initialWeights: (seed) => initialWeights(parameters, seed),
    prepare: (images, random) =>
      twoViewArrays(encoder, cache, settings, { images, count: images.length / bytes }, random),
  };
}
