/** What the coordinator knows of the model without understanding it: how many weights there are, and in which order. */
import { updateBytes } from "@consilium/shared/codec";
import { sealedBytes } from "@consilium/shared/crypto/envelope";
import type { Sha256 } from "@consilium/shared/ids";
import { manifestHash, vectorLength } from "@consilium/shared/manifest";
import { readCheckpointHead } from "../aggregation/checkpoint-stream.ts";
import type { Blobs } from "../blobs/blobs.ts";

export interface ModelLayout {
  readonly manifestHash: Sha256;
  readonly parameters: number;
  /** Exact size of every sealed update. */
  readonly sealedUpdateBytes: number;
}

/** @throws frame.bad-tag, frame.wrong-length, blob.unknown */
export async function readLayout(blobs: Blobs, checkpoint: Sha256): Promise<ModelLayout> {
  const { manifest } = await readCheckpointHead(blobs.read(checkpoint));
  return {
    manifestHash: manifestHash(manifest),
    parameters: vectorLength(manifest),
    sealedUpdateBytes: sealedBytes(updateBytes(manifest)),
  };
}
