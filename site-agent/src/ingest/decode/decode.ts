/** The one call that turns a DICOM file into stored values, frame by frame. docs/ingest.md describes their canonical form. */
import { inflateRawSync } from "node:zlib";
import { ConsiliumError } from "@consilium/shared/errors";
import { readHeader, type DicomHeader } from "../header/header.ts";
import { startsCodestream } from "./codestream/codestream.ts";
import { compressedFrame, decodedPhotometric, plainPhotometric } from "./compressed.ts";
import { joinFragments, listFrames, type FrameList } from "./encapsulation.ts";
import { frameBytes, nativeFrame, nativeFrameBytes } from "./native.ts";
import { decodeRle } from "./rle.ts";
import type { StoredImage } from "./stored-image.ts";
import { canonical, type Words } from "./words.ts";

/** Frames are decoded when they are asked for, so that a long file takes no more memory than a short one. */
export interface Frames extends AsyncIterable<StoredImage> {
  readonly header: DicomHeader;
  readonly count: number;
  /** @throws dicom.unsupported, dicom.truncated, dicom.decode-failed, dicom.wrong-size, dicom.no-pixels */
  readonly frame: (index: number) => Promise<StoredImage>;
}

/** More than any radiograph or slide tile; keeps a forged header from filling the memory. */
const MAX_PIXELS = 2 ** 28;

/**
 * @param file all bytes of a DICOM file
 * @throws dicom.not-dicom, dicom.truncated, dicom.no-pixels, dicom.unsupported, dicom.decode-failed, dicom.wrong-size
 */
export function decode(file: Uint8Array): Frames {
  return framesOf(readHeader(file));
}

/** @param header of the whole file */
export function framesOf(header: DicomHeader): Frames {
  const { format, frames: count } = header;
  if (format.rows * format.columns > MAX_PIXELS)
    throw new ConsiliumError("dicom.unsupported", { detail: "(size)" });
  const list = header.syntax.encoding === "native" ? null : encapsulatedFrames(header);
  const frame = (index: number): Promise<StoredImage> => decodeFrame(header, list, index);
  return {
    header,
    count,
    frame,
    async *[Symbol.asyncIterator]() {
      for (let index = 0; index < count; index++) yield await frame(index);
    },
  };
}

function encapsulatedFrames({ bytes, pixels, frames, syntax }: DicomHeader): FrameList {
  if (pixels.length !== null) throw new ConsiliumError("dicom.decode-failed");
  // Frames of these kinds have one fragment each; nothing in their bytes tells where one begins.
  const hasMarkers = !["rle", "frame-deflate", "encapsulated-native"].includes(syntax.encoding);
  const startsFrame = hasMarkers ? startsCodestream : (): boolean => false;
  return listFrames(bytes, pixels.offset, frames, pixels.extendedOffsets, startsFrame);
}

async function decodeFrame(header: DicomHeader, list: FrameList | null, index: number): Promise<StoredImage> {
  const { format, syntax } = header;
  const { rows, columns, samples } = format;
  const image = { rows, columns, samples };
  const plain = (words: Words): StoredImage => ({
    ...image,
    photometric: plainPhotometric(format),
    values: canonical(words, format, format.highBit),
  });
  if (list === null) return plain(nativeFrame(header, index));
  const data = joinFragments(list[index] ?? []);
  switch (syntax.encoding) {
    case "native":
    case "encapsulated-native":
      return plain(nativeFrameBytes(data, format));
    case "frame-deflate":
      return plain(nativeFrameBytes(inflateFrame(data, frameBytes(format)), format));
    case "rle":
      return plain(decodeRle(data, format));
    default: {
      const { words, highBit, colour } = await compressedFrame(syntax.encoding, data, format);
      const values = canonical(words, format, highBit);
      return { ...image, photometric: decodedPhotometric(colour, format), values };
    }
  }
}

/** @throws dicom.wrong-size for more than a frame, dicom.decode-failed */
function inflateFrame(data: Uint8Array, mostBytes: number): Uint8Array {
  try {
    return inflateRawSync(data, { maxOutputLength: mostBytes + 1 });
  } catch (error) {
    const isTooLong = error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
    throw new ConsiliumError(isTooLong ? "dicom.wrong-size" : "dicom.decode-failed");
  }
}
