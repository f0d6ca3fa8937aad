/** The encoder inside a checkpoint, without the pretext heads that were trained beside it. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Checkpoint } from "@consilium/shared/codec";
import { vectorLength } from "@consilium/shared/manifest";
import { tensorViews } from "@consilium/shared/vector";
import type { Parameter } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";

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
