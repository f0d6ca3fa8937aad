/** The checkpoint that a round starts from. */
import type { Sha256 } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import { magnitudesOf, type TensorMagnitude } from "@consilium/shared/secagg/ranges";

export class HeldBase {
  readonly name: Sha256;
  readonly values: Float32Array;
  #magnitudes: readonly TensorMagnitude[] | null = null;

  constructor(name: Sha256, values: Float32Array) {
    this.name = name;
    this.values = values;
  }

  /** Each step of a masked round asks for them. */
  magnitudes(manifest: Manifest): readonly TensorMagnitude[] {
    return (this.#magnitudes ??= magnitudesOf(manifest, this.values));
  }
}
