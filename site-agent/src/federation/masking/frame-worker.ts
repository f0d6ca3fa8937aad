/** Entry of the masking thread: the sum of the masks at once, the frame when there is an update. */
import { createHash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import type { Sha256 } from "@consilium/shared/ids";
import { packError } from "@consilium/shared/packed-error";
import { encoder } from "@consilium/shared/secagg/encode";
import { maskedHeader } from "@consilium/shared/secagg/frame";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { BLOCK_BYTES, maskSum } from "@consilium/shared/secagg/masks";
import { addToBlock, blockRanges } from "@consilium/shared/secagg/ring";
import { wipe } from "@consilium/shared/secagg/secrets";
import { writeFileAtomic } from "../../home/files.ts";
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
  for (const { offset, bytes } of maskSum(geometry, masks)) vector.set(bytes, offset);
  wipe(...masks.map(({ key }) => key));
  return { attempt, layout, vector };
}

async function write(ready: MaskSum | null, { file, values }: FrameRequest): Promise<WrittenFrame> {
  if (ready === null) throw new Error("a frame is written once after its masks were added up");
  const { attempt, layout, vector } = ready;
  const { geometry, body, tail } = encoder(layout, values);
  let clipped = 0;
  for (const { offset, length } of blockRanges(geometry, BLOCK_BYTES)) {
    const isBody = offset < geometry.bodyBytes;
    const encoded = isBody ? body(offset, length) : { bytes: tail(clipped), clipped: 0 };
    clipped += encoded.clipped;
    addToBlock(geometry, { offset, bytes: vector.subarray(offset, offset + length) }, encoded.bytes, 1);
  }
  const header = maskedHeader(attempt, layout);
  const sha256 = createHash("sha256").update(header).update(vector).digest("hex") as Sha256;
  await writeFileAtomic(file, header, vector);
  return { sha256, bytes: header.length + vector.length };
}

function answer(response: FrameResponse): void {
  parentPort?.postMessage(response);
}
