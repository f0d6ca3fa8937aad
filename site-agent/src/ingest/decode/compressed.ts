/** A compressed frame to samples: what the codestream says is compared with the header before and after decoding. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { PixelFormat } from "../header/pixel-format.ts";
import { decodeCodestream, type DecodedFrame } from "./codecs.ts";
import { readCodestreamInfo, type CompressedEncoding } from "./codestream/codestream.ts";
import type { CodestreamInfo } from "./codestream/info.ts";
import type { StoredImage } from "./stored-image.ts";
import { asWords, interleave, type Words } from "./words.ts";

export interface CompressedFrame {
  readonly words: Words;
  /** Where the stored bits end in `words`. */
  readonly highBit: number;
  /** What the codestream says its colours are, or null. */
  readonly colour: CodestreamInfo["colour"];
}

/** @throws dicom.decode-failed, dicom.wrong-size, dicom.truncated, dicom.unsupported */
export async function compressedFrame(
  encoding: CompressedEncoding,
  frame: Uint8Array,
  format: PixelFormat,
): Promise<CompressedFrame> {
  const info = readCodestreamInfo(encoding, frame);
  assertDescribed(info, format);
  const words = wordsOf(await decodeCodestream(encoding, info), format);
  // Codecs hold the stored bits alone, in the low bits; or the whole cell as it was, HighBit included.
  const highBit = info.precision > format.highBit ? format.highBit : format.bitsStored - 1;
  return { words, highBit, colour: info.colour };
}

/** JPEG's own markers win over the header, which many writers leave at RGB; other codecs give what went in. */
export function decodedPhotometric(
  colour: CodestreamInfo["colour"],
  format: PixelFormat,
): StoredImage["photometric"] {
  if (colour === null || format.samples === 1) return plainPhotometric(format);
  return colour === "YBR" ? "YBR_FULL" : "RGB";
}

/** The transforms of JPEG 2000 and JPEG XL exist within a codestream only: what comes out is RGB. */
export function plainPhotometric({ photometric }: PixelFormat): StoredImage["photometric"] {
  switch (photometric) {
    case "YBR_FULL_422":
      return "YBR_FULL";
    case "YBR_RCT":
    case "YBR_ICT":
    case "XYB":
      return "RGB";
    default:
      return photometric;
  }
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

/** @throws dicom.wrong-size if the decoder gave another number of samples than the header says */
function wordsOf({ data, bytesPerSample, order }: DecodedFrame, format: PixelFormat): Words {
  const { rows, columns, samples } = format;
  if (data.length !== rows * columns * samples * bytesPerSample) throw new ConsiliumError("dicom.wrong-size");
  const words = asWords(data, bytesPerSample);
  if (samples === 1 || order === "interleaved") return words;
  return interleave(order === "planar" ? words : planesOfRows(words, format), samples);
}

/** Row r of the planes, one after the other, lies at row r / samples, sample r % samples. */
function planesOfRows(words: Words, { rows, columns, samples }: PixelFormat): Words {
  const out = words.slice();
  for (let row = 0; row < rows * samples; row++) {
    const from = Math.floor(row / samples) * columns * samples + (row % samples);
    for (let x = 0; x < columns; x++) out[row * columns + x] = words[from + x * samples] ?? 0;
  }
  return out;
}
