/** A model's weights as the layout that travels. */
import type { Manifest } from "@consilium/shared/manifest";
import type { Parameter } from "../engine/types.ts";

export function manifestOf(parameters: readonly Parameter[]): Manifest {
  return { tensors: parameters.map(({ name, shape }) => ({ name, shape, dtype: "float32" })) };
}
