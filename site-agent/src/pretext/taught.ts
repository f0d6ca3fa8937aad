/**
 * What the tasks with labels have in common: a network of finetune, taught by the labels of all sites. Its head is shared like
 * the encoder, or stays at each site (FedPer, Arivazhagan et al. 2019, arXiv 1912.00818). A label is an input of the step and never
 * leaves the site.
 */
import type { Plan } from "@consilium/shared/plan";
import { elementCount } from "@consilium/shared/manifest";
import type { Random } from "../dataset/random.ts";
import type { Answers, TaughtPlan } from "../dataset/taught-labels.ts";
import { recordBytes } from "../dataset/types.ts";
import { mayFlip } from "../downstream/label-kind.ts";
import { taskInference } from "../downstream/trained-network.ts";
import type { InferenceDefinition, Parameter } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { cachedBox, cropArrays, randomCrops, type CropInputs } from "../model/crop-inputs.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { allShared } from "./sharing.ts";
import type { PretextParameter } from "./types.ts";

const HEAD = "head.";

/** @param parameters encoder, then head */
export function headStays(
  parameters: readonly Parameter[],
  encoder: VitConfig,
  { head }: Pick<TaughtPlan, "head">,
): readonly PretextParameter[] {
  const ofEncoder = vitParameters(encoder).length;
  return allShared(parameters).map((own, at) =>
    head === "site" && at >= ofEncoder ? { ...own, sharing: "kept" } : own,
  );
}

/** Even odds at first, so that the first steps reach the head alone. Zeros are the same bits everywhere. */
export function withEvenHead(parameters: readonly Parameter[], seed: number): Float32Array {
  const values = initialWeights(parameters, seed);
  let offset = 0;
  for (const { name, shape } of parameters) {
    const length = elementCount(shape);
    if (name.startsWith(HEAD)) values.fill(0, offset, offset + length);
    offset += length;
  }
  return values;
}

/** Crops of a batch, mirrored only where no class names a side. */
export function taughtCrops(
  plan: Pick<Plan, "cachePx" | "volume">,
  settings: TaughtPlan,
  encoder: VitConfig,
): (images: Uint8Array, random: Random) => ReturnType<typeof cropArrays> & { readonly images: Uint8Array } {
  const cache = cachedBox(plan);
  const bytes = recordBytes({ ...cache, channels: encoder.channels });
  const crops = { ...settings, flip: settings.flip && mayFlip(settings.classes) };
  return (images, random) => ({
    images,
    ...cropArrays(encoder, cache, randomCrops(encoder, cache, crops, images.length / bytes, random)),
  });
}

/** Of the kind that the task learns from. */
export function answersOf<Kind extends Answers["kind"]>(
  answers: Answers | undefined,
  kind: Kind,
): Extract<Answers, { readonly kind: Kind }> {
  if (answers?.kind !== kind) throw new Error(`a task with labels prepares images with ${kind}`);
  return answers as Extract<Answers, { readonly kind: Kind }>;
}

/** The same networks as finetune calls them. */
const TRAINED = {
  classify: { task: "classification", head: null },
  findings: { task: "findings", head: null },
  masks: { task: "segmentation", head: "linear" },
} as const;

/** The network that a plan teaches, to ask about whole images: with a head of its classes, as finetune asks it. */
export function taughtDefinition(
  plan: Plan,
  { task, classes }: Pick<TaughtPlan, "task" | "classes">,
  batchSize: number,
): InferenceDefinition<CropInputs> {
  const trained = { classes, ...TRAINED[task] };
  return taskInference(trained, { config: vitConfig(plan.model), cached: cachedBox(plan), batchSize });
}
