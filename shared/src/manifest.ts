/** The layout of a flat weight vector: ordered tensors with names and shapes, float32 throughout. */
import { canonicalJson, sha256 } from "./canonical.ts";
import { ConsiliumError } from "./errors.ts";
import type { Sha256 } from "./ids.ts";
import type { Manifest, TensorSpec } from "./manifest-schema.ts";

export type { Manifest, TensorSpec };

/** Number of elements of one tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Number of elements of the whole vector. */
export function vectorLength(manifest: Manifest): number {
  return manifest.tensors.reduce((sum, tensor) => sum + elementCount(tensor.shape), 0);
}

/** SHA-256 of the canonical JSON: two models are the same layout exactly if this is equal. */
export function manifestHash(manifest: Manifest): Sha256 {
  return sha256(
    canonicalJson({ tensors: manifest.tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype })) }),
  );
}

/** @throws manifest.mismatch if the two layouts differ. */
export function assertSameManifest(expected: Manifest, actual: Manifest): void {
  if (manifestHash(expected) !== manifestHash(actual)) throw new ConsiliumError("manifest.mismatch");
}
