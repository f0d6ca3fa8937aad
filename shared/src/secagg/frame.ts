/**
 * The masked vector on the wire. Integers are little-endian.
 *
 *     0   4  magic "CSLS"
 *     4   1  version, 1
 *     5   1  bits of an element of the body, 16 or 32
 *     6   2  zero
 *     8   4  sites, the number that headroom was left for
 *    12  32  context
 *    44      the vector, of the length that the layout says
 */
import { ConsiliumError } from "../errors.ts";
import type { Attempt } from "./attempt.ts";
import { geometryOf, type VectorLayout } from "./layout.ts";

const MAGIC = 0x534c_5343; // "CSLS" read as a little-endian integer
const VERSION = 1;
export const MASKED_HEADER_BYTES = 44;

/** Exact size of a masked vector's frame. */
export function maskedFrameBytes(layout: VectorLayout): number {
  return MASKED_HEADER_BYTES + geometryOf(layout).totalBytes;
}

/** What comes before the vector, for writers that stream it. */
export function maskedHeader(attempt: Attempt, layout: VectorLayout): Uint8Array {
  const header = new Uint8Array(MASKED_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, VERSION);
  view.setUint8(5, geometryOf(layout).bodyBits);
  view.setUint32(8, layout.sites, true);
  header.set(Buffer.from(attempt.context, "hex"), 12);
  return header;
}

/**
 * Checks the first 44 bytes, for readers that stream the vector.
 * @throws frame.wrong-length, frame.bad-tag, secagg.other-attempt
 */
export function assertMaskedHeader(attempt: Attempt, layout: VectorLayout, bytes: Uint8Array): void {
  if (bytes.length < MASKED_HEADER_BYTES) throw new ConsiliumError("frame.wrong-length");
  const expected = maskedHeader(attempt, layout);
  const same = (from: number, to: number) =>
    expected.subarray(from, to).every((byte, i) => byte === bytes[from + i]);
  if (!same(0, 12)) throw new ConsiliumError("frame.bad-tag");
  if (!same(12, MASKED_HEADER_BYTES)) throw new ConsiliumError("secagg.other-attempt");
}
