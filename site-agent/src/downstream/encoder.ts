/** The encoders to start from: at random, or those inside checkpoints, without the pretext heads that were trained beside. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Checkpoint } from "@consilium/shared/codec";
import { vectorLength } from "@consilium/shared/manifest";
import { tensorViews } from "@consilium/shared/vector";
import type { Parameter } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import type { EncoderOrigin, EncoderSources } from "./types.ts";

/**
 * Copies the parameters out of a checkpoint by name, in the parameters' order; what else it holds is left out.
 * @throws manifest.mismatch, naming the first weight that is absent or has another shape
 */
export function selectParameters(parameters: readonly Parameter[], checkpoint: Checkpoint): Float32Array {
  const views = tensorViews(checkpoint.manifest, checkpoint.values);
  const shapes = new Map(checkpoint.manifest.tensors.map(({ name, shape }) => [name, shape]));
  const values = new Float32Array(vectorLength(manifestOf(parameters)));
  let offset = 0;
  for (const { name, shape } of parameters) {
    const view = views.get(name);
    if (view === undefined || shapes.get(name)?.join() !== shape.join()) {
      throw new ConsiliumError("manifest.mismatch", { culprits: [name] });
    }
    values.set(view, offset);
    offset += view.length;
  }
  return values;
}

export interface NamedEncoder {
  readonly from: EncoderOrigin;
  readonly weightsFor: (seed: number) => Float32Array;
}

/** @throws manifest.mismatch if a checkpoint holds another encoder, config.invalid if there is none at all */
export function loadEncoders(config: VitConfig, { scratch, own, global }: EncoderSources): NamedEncoder[] {
  const parameters = vitParameters(config);
  const named: NamedEncoder[] = [];
  if (scratch) named.push({ from: "scratch", weightsFor: (seed) => initialWeights(parameters, seed) });
  for (const [from, checkpoint] of [
    ["own", own],
    ["global", global],
  ] as const) {
    if (checkpoint === null) continue;
    const weights = selectParameters(parameters, checkpoint);
    named.push({ from, weightsFor: () => weights });
  }
  if (named.length === 0) {
    throw new ConsiliumError("config.invalid", { detail: "(no encoder to start from)", culprits: ["from"] });
  }
  return named;
}
