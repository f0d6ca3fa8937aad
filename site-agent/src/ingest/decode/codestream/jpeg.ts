/** Frame headers of JPEG (ISO 10918-1 annex B) and JPEG-LS (ISO 14495-1 annex C). */
import { ConsiliumError } from "@consilium/shared/errors";
import type { CodestreamInfo } from "./info.ts";

/** SOF0 to SOF15 without DHT, JPG and DAC. */
const isJpegFrame = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

/** SOF55. */
const isJpegLsFrame = (marker: number): boolean => marker === 0xf7;

/**
 * What may come before the frame header: tables, applications' segments, comments, JPEG-LS parameters. A decoder that
 * looks for the frame header by itself has to find the same one.
 */
const isSegment = (marker: number): boolean =>
  marker === 0xc4 ||
  marker === 0xcc ||
  (marker >= 0xdb && marker <= 0xef) ||
  (marker >= 0xf0 && marker <= 0xfe);

/** @throws dicom.decode-failed if the frame header is not found */
export const readJpegInfo = (frame: Uint8Array): CodestreamInfo => readInfo(frame, isJpegFrame);

/** @throws dicom.decode-failed if the frame header is not found */
export const readJpegLsInfo = (frame: Uint8Array): CodestreamInfo => readInfo(frame, isJpegLsFrame);

function readInfo(frame: Uint8Array, isFrame: (marker: number) => boolean): CodestreamInfo {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let colour: CodestreamInfo["colour"] = null;
  if (frame[0] !== 0xff || frame[1] !== 0xd8) throw new ConsiliumError("dicom.decode-failed");
  for (let at = 2; at + 4 <= frame.length;) {
    if (frame[at] !== 0xff) break;
    const marker = frame[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    const length = view.getUint16(at + 2);
    const segment = frame.subarray(at + 4, at + 2 + length);
    if (isFrame(marker) && segment.length >= 6) {
      const components = segment[5] ?? 0;
      colour ??= components === 3 ? colourOfComponents(segment) : null;
      return {
        precision: segment[0] ?? 0,
        rows: view.getUint16(at + 5),
        columns: view.getUint16(at + 7),
        components,
        signed: false,
        colour,
        codestream: frame,
      };
    }
    if (!isSegment(marker) || length < 2) break;
    // APP0 "JFIF" means YCbCr; APP14 "Adobe" says so itself (as libjpeg reads them).
    if (marker === 0xe0 && startsWith(segment, "JFIF")) colour = "YBR";
    if (marker === 0xee && startsWith(segment, "Adobe")) colour = segment[11] === 0 ? "RGB" : "YBR";
    at += 2 + length;
  }
  throw new ConsiliumError("dicom.decode-failed");
}

const startsWith = (bytes: Uint8Array, text: string): boolean =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1").startsWith(text);

/**
 * What libjpeg guesses where no marker tells: components named R, G and B are that, and no one subsamples those, so that
 * components of different size are YCbCr. Some writers leave such images at RGB in the header.
 */
function colourOfComponents(segment: Uint8Array): CodestreamInfo["colour"] {
  const ids = [6, 9, 12].map((i) => segment[i] ?? 0);
  if (String.fromCharCode(...ids) === "RGB") return "RGB";
  const [first, ...others] = [7, 10, 13].map((i) => segment[i]);
  return others.some((sampling) => sampling !== first) ? "YBR" : null;
}
