/** Uncompressed samples: where a frame begins, in which byte order, and whether its chroma is subsampled. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { DicomHeader } from "../header/header.ts";
import type { PixelFormat } from "../header/pixel-format.ts";
import { asWords, interleave, repeatChroma, unpackBits, type Words } from "./words.ts";

/**
 * Samples of one frame of a native image, in canonical order.
 * @throws dicom.wrong-size, dicom.truncated, dicom.unsupported
 */
export function nativeFrame(header: DicomHeader, index: number): Words {
  const { bytes, pixels, format, frames } = header;
  if (pixels.length === null) throw new ConsiliumError("dicom.decode-failed");
  const subsampled = isSubsampled(format, pixels.length, frames);
  const frameBits = sampleCount(format, subsampled) * format.bitsAllocated;
  if (!isLength(pixels.length, Math.ceil((frameBits * frames) / 8)))
    throw new ConsiliumError("dicom.wrong-size");
  if (pixels.offset + pixels.length > bytes.length) throw new ConsiliumError("dicom.truncated");
  // Frames of single bits follow each other without a gap, and may begin within a byte (PS3.5 8.1.1).
  const firstBit = index * frameBits;
  const first = Math.floor(firstBit / 8);
  const end = Math.ceil((firstBit + frameBits) / 8);
  return samplesOf(littleEndian(header, first, end), firstBit % 8, format, subsampled);
}

/**
 * Samples of a frame whose bytes stand alone.
 * @throws dicom.wrong-size, dicom.unsupported
 */
export function nativeFrameBytes(data: Uint8Array, format: PixelFormat): Words {
  const subsampled = isSubsampled(format, data.length, 1);
  const expected = Math.ceil((sampleCount(format, subsampled) * format.bitsAllocated) / 8);
  if (!isLength(data.length, expected)) throw new ConsiliumError("dicom.wrong-size");
  return samplesOf(data.subarray(0, expected), 0, format, subsampled);
}

/** The bytes that a frame of plain samples has at most. */
export const frameBytes = (format: PixelFormat): number =>
  Math.ceil((sampleCount(format, false) * format.bitsAllocated) / 8);

/** Odd values are padded to even length. */
const isLength = (length: number, expected: number): boolean =>
  length === expected || (length === expected + 1 && length % 2 === 0);

/** Some writers say YBR_FULL_422 of the original and give every pixel its chroma; the length tells. */
function isSubsampled(format: PixelFormat, length: number, frames: number): boolean {
  if (format.photometric !== "YBR_FULL_422" || format.planar) return false;
  return !isLength(length, Math.ceil((sampleCount(format, false) * format.bitsAllocated * frames) / 8));
}

function sampleCount({ rows, columns, samples }: PixelFormat, subsampled: boolean): number {
  return rows * columns * (subsampled ? 2 : samples);
}

function samplesOf(data: Uint8Array, firstBit: number, format: PixelFormat, subsampled: boolean): Words {
  const { samples, planar, bitsAllocated: bits, columns } = format;
  const words =
    bits === 8 || bits === 16 || bits === 32
      ? asWords(data, bits / 8)
      : unpackBits(data, firstBit, bits, sampleCount(format, subsampled));
  if (subsampled) {
    if (columns % 2 !== 0) throw new ConsiliumError("dicom.unsupported", { detail: "(chroma subsampling)" });
    return repeatChroma(words);
  }
  return planar && samples > 1 ? interleave(words, samples) : words;
}

/** Bytes `first` to `end` of the pixel data, each word turned around where the file is big endian. */
function littleEndian(
  { bytes, pixels, format, syntax }: DicomHeader,
  first: number,
  end: number,
): Uint8Array {
  const unit = syntax.bigEndian ? wordBytes(pixels.vr, format.bitsAllocated) : 1;
  const value = bytes.subarray(pixels.offset, pixels.offset + (pixels.length ?? 0));
  if (unit === 1) return value.subarray(first, end);
  const from = first - (first % unit);
  const words = value.subarray(from, Math.ceil(end / unit) * unit);
  const out = new Uint8Array(words.length);
  for (let i = 0; i < out.length; i++) out[i] = words[i - (i % unit) + (unit - 1 - (i % unit))] ?? 0;
  return out.subarray(first - from, end - from);
}

/** OW holds 16-bit words even where samples have 8 or 32 bits (PS3.5 6.2). OB has no byte order, if it is used as it should be. */
function wordBytes(vr: string, bitsAllocated: number): number {
  if (vr === "OW") return 2;
  if (vr === "OL") return 4;
  return bitsAllocated <= 8 ? 1 : 2;
}
