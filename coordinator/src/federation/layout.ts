/** What the coordinator knows of the model without understanding it: how many weights there are, and in which order. */
import { updateBytes } from "@consilium/shared/codec";
import { sealedBytes } from "@consilium/shared/crypto/envelope";
import { trainedPart } from "@consilium/shared/trained-part";
import type { Sha256 } from "@consilium/shared/ids";
import { manifestHash, vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { readCheckpointHead } from "../aggregation/checkpoint-stream.ts";
import type { Blobs } from "../blobs/blobs.ts";

export interface ModelLayout {
  /** Of updates. */
  readonly manifestHash: Sha256;
  readonly parameters: number;
  /** Of an update: all but those that the plan freezes, of matrices of low rank the factor. */
  readonly updateParameters: number;
  /** Exact size of every sealed update. */
  readonly sealedUpdateBytes: number;
}

/** @throws frame.bad-tag, frame.wrong-length, blob.unknown; manifest.mismatch if it has not the layers that the plan freezes */
export async function readLayout(
  blobs: Blobs,
  checkpoint: Sha256,
  { training }: Pick<Plan, "training">,
): Promise<ModelLayout> {
  const { manifest } = await readCheckpointHead(blobs.read(checkpoint));
  const { manifest: trained } = trainedPart(manifest, training);
  return {
    manifestHash: manifestHash(trained),
    parameters: vectorLength(manifest),
    updateParameters: vectorLength(trained),
    sealedUpdateBytes: sealedBytes(updateBytes(trained)),
  };
}
