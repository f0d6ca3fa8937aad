/** Entry of the masking thread: the sum of the masks at once, the frame when there is an update. */
import { createHash, type Hash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import type { Sha256 } from "@consilium/shared/ids";
import { packError } from "@consilium/shared/packed-error";
import { addEncoded, encoder, type Encoder } from "@consilium/shared/secagg/encode";
import { MASKED_HEADER_BYTES, maskedHeader } from "@consilium/shared/secagg/frame";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { addMasks, BLOCK_BYTES } from "@consilium/shared/secagg/masks";
import { addToBlock, blockRanges } from "@consilium/shared/secagg/ring";
import { wipe } from "@consilium/shared/secagg/secrets";
import { writePartsAtomic } from "../../home/files.ts";
import type {
  FrameRequest,
  FrameResponse,
  MaskedAttempt,
  ToFrameThread,
  WrittenFrame,
} from "./frame-thread.ts";

interface MaskSum extends Pick<MaskedAttempt, "attempt" | "layout"> {
  readonly vector: Uint8Array;
}

/** Of the frame, written at once while the next are made. */
const PART_BYTES = 4 * 1024 * 1024;

let sum: MaskSum | null = null;

parentPort?.on("message", (message: ToFrameThread) => {
  if (message.kind === "begin") {
    sum = addUp(message.masked);
    return;
  }
  const ready = sum;
  // A second update under the same masks would give away its difference from the first.
  sum = null;
  void write(ready, message.request).then(
    (frame) => {
      answer({ ok: true, frame });
    },
    (error: unknown) => {
      answer({ ok: false, error: packError(error) });
    },
  );
});

function addUp({ attempt, layout, masks }: MaskedAttempt): MaskSum {
  const geometry = geometryOf(layout);
  const vector = new Uint8Array(geometry.totalBytes);
  for (const { offset, length } of blockRanges(geometry, BLOCK_BYTES)) {
    addMasks(geometry, { offset, bytes: vector.subarray(offset, offset + length) }, masks);
  }
  wipe(...masks.map(({ key }) => key));
  return { attempt, layout, vector };
}

async function write(ready: MaskSum | null, { file, values }: FrameRequest): Promise<WrittenFrame> {
  if (ready === null) throw new Error("a frame is written once after its masks were added up");
  const encoding = encoder(ready.layout, values);
  const hash = createHash("sha256");
  await writePartsAtomic(file, frameParts(ready, encoding, hash));
  const bytes = MASKED_HEADER_BYTES + ready.vector.length;
  return { sha256: hash.digest("hex") as Sha256, bytes };
}

/** Header and vector, a few blocks at a time; each block is hashed while it lies in the cache. */
function* frameParts(
  { attempt, layout, vector }: MaskSum,
  encoding: Encoder,
  hash: Hash,
): Generator<Uint8Array, void> {
  const { geometry } = encoding;
  const header = maskedHeader(attempt, layout);
  hash.update(header);
  yield header;
  let clipped = 0;
  let written = 0;
  for (const { offset, length } of blockRanges(geometry, BLOCK_BYTES)) {
    const block = { offset, bytes: vector.subarray(offset, offset + length) };
    if (offset < geometry.bodyBytes) clipped += addEncoded(encoding, block);
    else addToBlock(geometry, block, encoding.tail(clipped), 1);
    hash.update(block.bytes);
    const end = offset + length;
    if (end - written < PART_BYTES && end < vector.length) continue;
    yield vector.subarray(written, end);
    written = end;
  }
}

function answer(response: FrameResponse): void {
  parentPort?.postMessage(response);
}
