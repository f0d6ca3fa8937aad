/** DICOM RLE (PS3.5 annex G): byte planes, most significant first, each packed with PackBits. */
import { ConsiliumError } from "@consilium/shared/errors";

const HEADER_BYTES = 64;

/**
 * @param planes byte planes of the frame: samples x bytes per sample
 * @param planeBytes bytes of each plane when unpacked
 * @returns planes in order, one after the other
 * @throws dicom.decode-failed, dicom.wrong-size
 */
export function decodeRle(frame: Uint8Array, planes: number, planeBytes: number): Uint8Array {
  if (frame.length < HEADER_BYTES) throw new ConsiliumError("dicom.decode-failed");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== planes) throw new ConsiliumError("dicom.wrong-size");
  // Two bytes make 128 at most: a forged size is found before memory is taken for it.
  if (planes * planeBytes > frame.length * 64) throw new ConsiliumError("dicom.wrong-size");
  const out = new Uint8Array(planes * planeBytes);
  for (let plane = 0; plane < planes; plane++) {
    const start = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < planes ? view.getUint32(8 + 4 * plane, true) : frame.length;
    if (start < HEADER_BYTES || end < start || end > frame.length)
      throw new ConsiliumError("dicom.decode-failed");
    unpackBits(frame.subarray(start, end), out.subarray(plane * planeBytes, (plane + 1) * planeBytes));
  }
  return out;
}

/** Fills `out` exactly; a last run may pad the segment to even length but never the plane. */
function unpackBits(packed: Uint8Array, out: Uint8Array): void {
  let at = 0;
  let to = 0;
  while (to < out.length) {
    const code = packed[at++];
    if (code === undefined) throw new ConsiliumError("dicom.wrong-size");
    if (code === 128) continue;
    const run = code < 128 ? code + 1 : 257 - code;
    if (to + run > out.length) throw new ConsiliumError("dicom.wrong-size");
    if (code < 128) {
      if (at + run > packed.length) throw new ConsiliumError("dicom.wrong-size");
      out.set(packed.subarray(at, at + run), to);
      at += run;
    } else {
      const value = packed[at++];
      if (value === undefined) throw new ConsiliumError("dicom.wrong-size");
      out.fill(value, to, to + run);
    }
    to += run;
  }
}
