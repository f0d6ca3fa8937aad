/** A masked vector's frame as it streams: its head is looked at, its elements are added up. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import { foldMasked } from "@consilium/shared/secagg/coordinator/sum";
import { assertMaskedHeader, MASKED_HEADER_BYTES } from "@consilium/shared/secagg/frame";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import type { ByteSource } from "./float-stream.ts";

/** A whole number of elements of either width. */
const ELEMENT_BYTES = 4;

/** What a frame has to be, to be added to a sum. */
export interface MaskedTerms {
  readonly attempt: Attempt;
  readonly layout: VectorLayout;
}

/**
 * sum <- sum + vector; pieces of the source need be good no longer than until the next is asked for
 * @param sum as long as the layout says; where it throws, a part may have been added
 * @throws frame.bad-tag, secagg.other-attempt, frame.wrong-length
 */
export async function addFrame(
  { attempt, layout }: MaskedTerms,
  sum: Uint8Array,
  source: ByteSource,
  culprits: readonly string[] = [],
): Promise<void> {
  let rest: Uint8Array = new Uint8Array(0);
  let offset = -1;
  for await (const piece of source) {
    let bytes: Uint8Array = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    if (offset < 0) {
      if (bytes.length < MASKED_HEADER_BYTES) {
        rest = new Uint8Array(bytes);
        continue;
      }
      assertMaskedHeader(attempt, layout, bytes);
      bytes = bytes.subarray(MASKED_HEADER_BYTES);
      offset = 0;
    }
    const whole = bytes.length - (bytes.length % ELEMENT_BYTES);
    if (offset + whole > sum.length) throw new ConsiliumError("frame.wrong-length", { culprits });
    foldMasked(layout, sum, { offset, bytes: bytes.subarray(0, whole) });
    offset += whole;
    rest = new Uint8Array(bytes.subarray(whole));
  }
  if (offset !== sum.length || rest.length > 0) throw new ConsiliumError("frame.wrong-length", { culprits });
}
