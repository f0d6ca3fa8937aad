/** A checkpoint frame as a stream: its layout first, then its values. */
import { checkpointHeaderBytes, decodeCheckpointHeader } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Manifest } from "@consilium/shared/manifest";
import { checkedValues, type Slice } from "./checked-values.ts";
import type { ByteSource } from "./float-stream.ts";

/** Bytes that tell how long a checkpoint's header is. */
const PREFIX_BYTES = 12;

export interface CheckpointHead {
  readonly manifest: Manifest;
  /** The frame's bytes before the values. */
  readonly header: Uint8Array;
}

/** Reads no further than the header. @throws frame.bad-tag, frame.wrong-length */
export async function readCheckpointHead(source: ByteSource): Promise<CheckpointHead> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const piece of source) {
    const bytes: Uint8Array = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const headerBytes = bytes.length < PREFIX_BYTES ? Infinity : checkpointHeaderBytes(bytes);
    if (bytes.length < headerBytes) {
      rest = new Uint8Array(bytes);
      continue;
    }
    const header = new Uint8Array(bytes.subarray(0, headerBytes));
    return { manifest: decodeCheckpointHeader(header).manifest, header };
  }
  throw new ConsiliumError("frame.wrong-length");
}

/**
 * The values after a header that has been read before.
 * @throws frame.wrong-length, vector.not-finite
 */
export function checkpointValues(
  source: ByteSource,
  { manifest, header }: CheckpointHead,
): AsyncGenerator<Slice, void, undefined> {
  return checkedValues({ source, headerBytes: header.length, manifest });
}
