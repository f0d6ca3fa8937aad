/**
 * Pixel data to stored values, exact. The canonical form of an image:
 *
 * - one number per sample, pixel by pixel (R G B R G B ...), rows from the top;
 * - only the BitsStored bits that count, moved down from HighBit and sign-extended where PixelRepresentation says so;
 *   overlay bits in the unused ones are dropped;
 * - colours as they are stored, except that JPEG 2000's component transform is undone (YBR_RCT and YBR_ICT become RGB)
 *   and chroma subsampling is undone by repetition (YBR_FULL_422 becomes YBR_FULL).
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { decodeCompressed, type DecodedFrame } from "./codecs.ts";
import { readJpeg2000Info, readJpegInfo, type CodestreamInfo } from "./codestream.ts";
import { joinFragments } from "./encapsulation.ts";
import type { DicomHeader, PixelFormat } from "./header.ts";
import { decodeRle } from "./rle.ts";

export type StoredValues = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array;

export interface StoredImage {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly photometric: "MONOCHROME1" | "MONOCHROME2" | "RGB" | "YBR_FULL";
  /** rows x columns x samples, in the canonical form. */
  readonly values: StoredValues;
}

/** More than any radiograph or slide tile; keeps a forged header from filling the memory. */
const MAX_PIXELS = 2 ** 28;

/**
 * @param header of the whole file
 * @throws dicom.multi-frame, dicom.unsupported, dicom.truncated, dicom.decode-failed, dicom.wrong-size
 */
export async function decodeImage(header: DicomHeader): Promise<StoredImage> {
  const { format, syntax, frames } = header;
  if (frames !== 1) throw new ConsiliumError("dicom.multi-frame");
  const { rows, columns, samples } = format;
  if (rows * columns > MAX_PIXELS) throw new ConsiliumError("dicom.unsupported", { detail: "(size)" });
  const image = { rows, columns, samples };
  if (syntax.encoding === "native") {
    const values = canonical(toWords(nativeBytes(header), format), format, format.highBit);
    return { ...image, photometric: plainPhotometric(format), values };
  }
  if (header.pixels.length !== null) throw new ConsiliumError("dicom.decode-failed");
  const frame = joinFragments(header.bytes, header.pixels.offset);
  if (syntax.encoding === "rle") {
    const values = canonical(toWords(rleBytes(frame, format), format), format, format.highBit);
    return { ...image, photometric: plainPhotometric(format), values };
  }
  const isJpeg = syntax.encoding === "jpeg" || syntax.encoding === "jpeg-ls";
  const info = isJpeg ? readJpegInfo(frame) : readJpeg2000Info(frame);
  assertDescribed(info, format);
  const words = decodedWords(await decodeCompressed(syntax.encoding, frame, format, info.precision), format);
  // Codecs give samples in the low bits, whatever HighBit says.
  const values = canonical(words, format, format.bitsStored - 1);
  return { ...image, photometric: decodedPhotometric(info, format), values };
}

const plainPhotometric = ({ photometric }: PixelFormat): StoredImage["photometric"] =>
  photometric === "YBR_FULL_422" || photometric === "YBR_RCT" || photometric === "YBR_ICT"
    ? "YBR_FULL"
    : photometric;

/** JPEG's own markers win over the header, which many writers leave at RGB; JPEG 2000 gives what went in. */
function decodedPhotometric(info: CodestreamInfo, format: PixelFormat): StoredImage["photometric"] {
  if (format.samples === 1) return plainPhotometric(format);
  if (info.colour !== null) return info.colour === "YBR" ? "YBR_FULL" : "RGB";
  if (format.photometric === "YBR_RCT" || format.photometric === "YBR_ICT") return "RGB";
  return plainPhotometric(format);
}

/** @throws dicom.wrong-size if the frame is not what the header says */
function assertDescribed(info: CodestreamInfo, format: PixelFormat): void {
  if (
    info.rows !== format.rows ||
    info.columns !== format.columns ||
    info.components !== format.samples ||
    info.precision > format.bitsAllocated
  )
    throw new ConsiliumError("dicom.wrong-size");
}

/** Bytes of the frame if every sample is there. */
function frameBytes({ rows, columns, samples, bitsAllocated }: PixelFormat): number {
  return Math.ceil((rows * columns * samples * bitsAllocated) / 8);
}

/** Uncompressed samples as little-endian bytes, pixel by pixel, chroma repeated. */
function nativeBytes({ bytes, pixels, format, syntax }: DicomHeader): Uint8Array {
  if (pixels.length === null) throw new ConsiliumError("dicom.decode-failed");
  const subsampled = format.photometric === "YBR_FULL_422" && !format.planar;
  const expected = subsampled ? format.rows * format.columns * 2 : frameBytes(format);
  // Odd values are padded to even length.
  if (pixels.length !== expected && pixels.length !== expected + 1)
    throw new ConsiliumError("dicom.wrong-size");
  if (pixels.offset + pixels.length > bytes.length) throw new ConsiliumError("dicom.truncated");
  let data = bytes.subarray(pixels.offset, pixels.offset + pixels.length);
  if (syntax.bigEndian)
    data = swapped(data, pixels.vr === "OW" ? Math.max(16, format.bitsAllocated) : format.bitsAllocated);
  data = data.subarray(0, expected);
  if (subsampled) return repeatChroma(data, format);
  return format.planar && format.samples > 1
    ? interleaved(data, format.samples, format.bitsAllocated / 8)
    : data;
}

/** Reverses the bytes of each word. OW holds 16-bit words even where samples have 8 bits. */
function swapped(data: Uint8Array, bits: number): Uint8Array {
  const size = bits / 8;
  if (size <= 1) return data;
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) out[i] = data[i - (i % size) + (size - 1 - (i % size))] ?? 0;
  return out;
}

/** Y1 Y2 Cb Cr for each two pixels of a row (PS3.3 C.7.6.3.1.2) to Y Cb Cr for each pixel. */
function repeatChroma(data: Uint8Array, { rows, columns, bitsAllocated }: PixelFormat): Uint8Array {
  if (bitsAllocated !== 8 || columns % 2 !== 0)
    throw new ConsiliumError("dicom.unsupported", { detail: "(chroma subsampling)" });
  const out = new Uint8Array(rows * columns * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    for (let pixel = 0; pixel < 2; pixel++, to += 3) {
      out[to] = data[from + pixel] ?? 0;
      out[to + 1] = data[from + 2] ?? 0;
      out[to + 2] = data[from + 3] ?? 0;
    }
  }
  return out;
}

/** Planes one after the other to pixel by pixel. */
function interleaved(data: Uint8Array, samples: number, bytesPerSample: number): Uint8Array {
  const out = new Uint8Array(data.length);
  const pixels = data.length / samples / bytesPerSample;
  for (let sample = 0; sample < samples; sample++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let byte = 0; byte < bytesPerSample; byte++) {
        out[(pixel * samples + sample) * bytesPerSample + byte] =
          data[(sample * pixels + pixel) * bytesPerSample + byte] ?? 0;
      }
    }
  }
  return out;
}

/** RLE's byte planes (most significant first, sample after sample) to little-endian samples, pixel by pixel. */
function rleBytes(frame: Uint8Array, format: PixelFormat): Uint8Array {
  const { rows, columns, samples, bitsAllocated } = format;
  if (bitsAllocated === 1) return decodeRle(frame, 1, frameBytes(format));
  const size = bitsAllocated / 8;
  const pixels = rows * columns;
  const planes = decodeRle(frame, samples * size, pixels);
  if (samples === 1 && size === 1) return planes;
  const out = new Uint8Array(planes.length);
  for (let sample = 0; sample < samples; sample++) {
    for (let byte = 0; byte < size; byte++) {
      const plane = planes.subarray((sample * size + byte) * pixels, (sample * size + byte + 1) * pixels);
      const first = sample * size + (size - 1 - byte);
      for (let pixel = 0; pixel < pixels; pixel++) out[pixel * samples * size + first] = plane[pixel] ?? 0;
    }
  }
  return out;
}

/** @throws dicom.wrong-size if the decoder gave another number of samples than the header says */
function decodedWords({ data, bytesPerSample, planar }: DecodedFrame, format: PixelFormat): Words {
  const { rows, columns, samples } = format;
  if (bytesPerSample < 1 || data.length !== rows * columns * samples * bytesPerSample)
    throw new ConsiliumError("dicom.wrong-size");
  const ordered = planar && samples > 1 ? interleaved(data, samples, bytesPerSample) : data;
  const words = asWords(ordered, bytesPerSample);
  // A codestream of 8 bits in an image of 16 allocated ones.
  return bytesPerSample * 8 < format.bitsAllocated ? widened(words, format) : words;
}

type Words = Uint8Array | Uint16Array | Uint32Array;

function widened(words: Words, { bitsAllocated }: PixelFormat): Words {
  return bitsAllocated === 16 ? Uint16Array.from(words) : Uint32Array.from(words);
}

/** Bytes to unsigned words of BitsAllocated bits; 1-bit samples are unpacked from the lowest bit up (PS3.5 8.1.1). */
function toWords(data: Uint8Array, { rows, columns, bitsAllocated }: PixelFormat): Words {
  if (bitsAllocated !== 1) return asWords(data, bitsAllocated / 8);
  return Uint8Array.from({ length: rows * columns }, (_, i) => ((data[i >> 3] ?? 0) >> (i & 7)) & 1);
}

/** A view where alignment allows, else a copy. Every platform that Node runs on here is little-endian. */
function asWords(data: Uint8Array, size: number): Words {
  if (size === 1) return data;
  const aligned = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  return size === 2
    ? new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2)
    : new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

/** Keeps the bits that count and gives them their sign. */
function canonical(words: Words, format: PixelFormat, highBit: number): StoredValues {
  const { bitsStored, signed } = format;
  const width = words.BYTES_PER_ELEMENT * 8;
  if (bitsStored === width || format.bitsAllocated === 1) return signed ? asSigned(words) : words;
  const down = highBit + 1 - bitsStored;
  const fill = 32 - bitsStored;
  const out = copyOf(words);
  if (signed) {
    const target = asSigned(out);
    for (let i = 0; i < out.length; i++) target[i] = (((out[i] ?? 0) >>> down) << fill) >> fill;
    return target;
  }
  for (let i = 0; i < out.length; i++) out[i] = (((out[i] ?? 0) >>> down) << fill) >>> fill;
  return out;
}

/** Not `slice`, which of a Buffer is a view. */
function copyOf(words: Words): Words {
  if (words instanceof Uint8Array) return new Uint8Array(words);
  return words instanceof Uint16Array ? new Uint16Array(words) : new Uint32Array(words);
}

function asSigned(words: Words): StoredValues {
  const { buffer, byteOffset, length } = words;
  if (words instanceof Uint8Array) return new Int8Array(buffer, byteOffset, length);
  return words instanceof Uint16Array
    ? new Int16Array(buffer, byteOffset, length)
    : new Int32Array(buffer, byteOffset, length);
}
