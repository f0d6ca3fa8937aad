/** DICOM RLE (PS3.5 annex G): byte planes, most significant first, each packed with PackBits. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { PixelFormat } from "../header/pixel-format.ts";
import { newWords, unpackBits, type Words } from "./words.ts";

const HEADER_BYTES = 64;

/**
 * Samples of a frame, pixel by pixel.
 * @throws dicom.decode-failed, dicom.wrong-size
 */
export function decodeRle(frame: Uint8Array, { rows, columns, samples, bitsAllocated }: PixelFormat): Words {
  const pixels = rows * columns;
  // Single bits stay packed in one segment.
  if (bitsAllocated === 1) return unpackBits(unpackPlanes(frame, 1, Math.ceil(pixels / 8)), 0, 1, pixels);
  const size = Math.ceil(bitsAllocated / 8);
  const planes = unpackPlanes(frame, samples * size, pixels);
  if (samples === 1 && size === 1) return planes;
  const out = newWords(bitsAllocated, pixels * samples);
  for (let sample = 0; sample < samples; sample++) {
    for (let byte = 0; byte < size; byte++) {
      const plane = (sample * size + byte) * pixels;
      const weight = 2 ** (8 * (size - 1 - byte));
      for (let pixel = 0, to = sample; pixel < pixels; pixel++, to += samples)
        out[to] = (out[to] ?? 0) + (planes[plane + pixel] ?? 0) * weight;
    }
  }
  return out;
}

/**
 * @param count byte planes of the frame: samples x bytes per sample
 * @param planeBytes bytes of each plane when unpacked
 * @returns planes in order, one after the other
 */
function unpackPlanes(frame: Uint8Array, count: number, planeBytes: number): Uint8Array {
  if (frame.length < HEADER_BYTES) throw new ConsiliumError("dicom.decode-failed");
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== count) throw new ConsiliumError("dicom.wrong-size");
  // Two bytes make 128 at most: a forged size is found before memory is taken for it.
  if (count * planeBytes > frame.length * 64) throw new ConsiliumError("dicom.wrong-size");
  const out = new Uint8Array(count * planeBytes);
  for (let plane = 0; plane < count; plane++) {
    const start = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < count ? view.getUint32(8 + 4 * plane, true) : frame.length;
    if (start < HEADER_BYTES || end < start || end > frame.length)
      throw new ConsiliumError("dicom.decode-failed");
    unpack(frame.subarray(start, end), out.subarray(plane * planeBytes, (plane + 1) * planeBytes));
  }
  return out;
}

/** Fills `out` exactly. What a last run has too much is padding of some writers. */
function unpack(packed: Uint8Array, out: Uint8Array): void {
  let at = 0;
  let to = 0;
  while (to < out.length) {
    const code = packed[at++];
    if (code === undefined) throw new ConsiliumError("dicom.wrong-size");
    if (code === 128) continue;
    const run = Math.min(code < 128 ? code + 1 : 257 - code, out.length - to);
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
