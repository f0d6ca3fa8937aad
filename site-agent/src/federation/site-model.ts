/** The federation's model as this site knows it before any round: where it starts, and what of it is trained. */
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import { trainedPart } from "@consilium/shared/trained-part";
import type { Sha256 } from "@consilium/shared/ids";
import { assertSameManifest, type Manifest } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { assertFinite, bytesOf } from "@consilium/shared/vector";

export class SiteModel {
  readonly genesis: Checkpoint;
  /** Of the initial model. */
  readonly frame: Uint8Array;
  readonly name: Sha256;
  /** The layout of updates. */
  readonly trained: Manifest;
  /** The beginning of the model that no round changes. */
  readonly #frozen: Float32Array;

  constructor(genesis: Checkpoint, { training }: Pick<Plan, "training">) {
    this.genesis = genesis;
    this.frame = encodeCheckpoint(genesis);
    this.name = sha256(this.frame);
    const { manifest, offset } = trainedPart(genesis.manifest, training);
    this.trained = manifest;
    this.#frozen = genesis.values.subarray(0, offset);
  }

  /**
   * A global model's values.
   * @throws manifest.mismatch, vector.not-finite, frame.*; genesis.mismatch if what the plan freezes is not what it was
   */
  decode(bytes: Uint8Array): Float32Array {
    const { manifest, values } = decodeCheckpoint(bytes);
    assertSameManifest(this.genesis.manifest, manifest);
    assertFinite(manifest, values);
    const kept = bytesOf(values.subarray(0, this.#frozen.length));
    if (Buffer.compare(kept, bytesOf(this.#frozen)) !== 0) {
      throw new ConsiliumError("genesis.mismatch", { detail: "(layers that the plan freezes have changed)" });
    }
    return values;
  }
}
