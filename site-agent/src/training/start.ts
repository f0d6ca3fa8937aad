/**
 * Initial weights out of the model that a plan starts from. What that model lacks (a decoder, a projector, a head) stays as it was
 * drawn from the seed. Nothing here may depend on the machine: every site must get the same bits.
 */
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint, type Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Manifest, TensorSpec } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { assertFinite, concatenate, tensorViews } from "@consilium/shared/vector";
import { adaptEncoder, withEncoder, type Adapted } from "../export/adapt.ts";
import { decodeSafetensors } from "../export/safetensors.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import type { Genesis } from "./types.ts";

/**
 * @param drawn the plan's model, from the seed alone
 * @param bytes the file that the plan names
 * @throws hash.mismatch; start.unfit, naming the weight; weights.unreadable, weights.foreign, model.of-volumes, frame.*,
 *   vector.not-finite
 */
export function startFrom(
  drawn: Checkpoint,
  { model, start }: Pick<Plan, "model" | "start">,
  bytes: Uint8Array,
): Genesis {
  if (start === undefined || sha256(bytes) !== start.sha256) {
    throw new ConsiliumError("hash.mismatch", { culprits: ["start"] });
  }
  const config = vitConfig(model);
  const { checkpoint, changes } =
    start.format === "checkpoint"
      ? { checkpoint: usableOf(decodeCheckpoint(bytes), drawn.manifest, config), changes: [] }
      : adapted(config, bytes);
  assertFinite(checkpoint.manifest, checkpoint.values);
  const taken = checkpoint.manifest.tensors.length;
  const all = drawn.manifest.tensors.length;
  const rest = taken === all ? "" : `, the other ${all - taken} are drawn from the seed`;
  return {
    ...withEncoder(drawn, checkpoint),
    changes: [
      `${taken} of ${all} weights are those of the model that the plan starts from${rest}`,
      ...changes,
    ],
  };
}

/** @throws start.unfit, weights.unreadable, weights.foreign, model.of-volumes */
function adapted(config: VitConfig, bytes: Uint8Array): Adapted {
  try {
    return adaptEncoder(config, decodeSafetensors(bytes));
  } catch (error) {
    const { code, culprits } = toConsiliumError(error);
    if (code !== "manifest.mismatch") throw error;
    throw unfit(culprits[0] ?? "a weight", "(it is missing, or has another shape)");
  }
}

/** Those of its weights that the plan's model has as well: all of the encoder, and of the heads what there is. */
function usableOf({ manifest, values }: Checkpoint, wanted: Manifest, config: VitConfig): Checkpoint {
  const views = tensorViews(manifest, values);
  const missing = vitParameters(config).find(({ name }) => !views.has(name));
  if (missing !== undefined) throw unfit(missing.name, "(it is missing)");
  const specs = new Map(manifest.tensors.map((tensor) => [tensor.name, tensor]));
  const usable = wanted.tensors.flatMap((tensor): { tensor: TensorSpec; view: Float32Array }[] => {
    const view = views.get(tensor.name);
    if (view === undefined) return [];
    const shape = specs.get(tensor.name)?.shape ?? [];
    if (shape.join() !== tensor.shape.join()) {
      throw unfit(tensor.name, `([${shape.join(", ")}], and the plan's is [${tensor.shape.join(", ")}])`);
    }
    return [{ tensor, view }];
  });
  return {
    manifest: { tensors: usable.map(({ tensor }) => tensor) },
    values: concatenate(usable.map(({ view }) => view)),
  };
}

const unfit = (name: string, detail: string): ConsiliumError =>
  new ConsiliumError("start.unfit", { detail: `${name} ${detail}`, culprits: [name] });
