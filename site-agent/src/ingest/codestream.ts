/**
 * What a compressed frame says about itself, read before a decoder sees it: a decoder given another size than it expects
 * allocates without bound or writes a picture that is not the one described.
 */
import { ConsiliumError } from "@consilium/shared/errors";

export interface CodestreamInfo {
  readonly rows: number;
  readonly columns: number;
  readonly components: number;
  /** Bits of a sample. */
  readonly precision: number;
  /** JPEG only: what its markers say the colours are, or null where they say nothing. */
  readonly colour: "RGB" | "YBR" | null;
}

/** Start-of-frame markers: SOF0-15 without DHT, JPG, DAC; SOF55 is JPEG-LS (ISO 14495-1). */
const isStartOfFrame = (marker: number): boolean =>
  (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) ||
  marker === 0xf7;

/**
 * JPEG and JPEG-LS (ISO 10918-1 annex B).
 * @throws dicom.decode-failed if the frame header is not found
 */
export function readJpegInfo(frame: Uint8Array): CodestreamInfo {
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
    if (isStartOfFrame(marker) && segment.length >= 6) {
      const components = segment[5] ?? 0;
      const ids = [6, 9, 12].map((i) => segment[i] ?? 0);
      if (colour === null && components === 3 && String.fromCharCode(...ids) === "RGB") colour = "RGB";
      return {
        precision: segment[0] ?? 0,
        rows: view.getUint16(at + 5),
        columns: view.getUint16(at + 7),
        components,
        colour,
      };
    }
    // APP0 "JFIF" means YCbCr; APP14 "Adobe" says so itself (as libjpeg reads them).
    if (marker === 0xe0 && startsWith(segment, "JFIF")) colour = "YBR";
    if (marker === 0xee && startsWith(segment, "Adobe")) colour = segment[11] === 0 ? "RGB" : "YBR";
    at += 2 + length;
  }
  throw new ConsiliumError("dicom.decode-failed");
}

/**
 * JPEG 2000 and HTJ2K (ISO 15444-1 annex A.5.1), bare or within JP2 boxes.
 * @throws dicom.decode-failed
 */
export function readJpeg2000Info(frame: Uint8Array): CodestreamInfo {
  const start = codestreamStart(frame);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (start + 43 > frame.length || view.getUint32(start) !== 0xff4f_ff51)
    throw new ConsiliumError("dicom.decode-failed");
  const size = start + 8;
  return {
    columns: view.getUint32(size) - view.getUint32(size + 8),
    rows: view.getUint32(size + 4) - view.getUint32(size + 12),
    components: view.getUint16(size + 32),
    precision: ((frame[size + 34] ?? 0) & 0x7f) + 1,
    colour: null,
  };
}

/** A few writers put a whole JP2 file into the fragment. */
function codestreamStart(frame: Uint8Array): number {
  if (frame[0] === 0xff) return 0;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  for (let at = 0; at + 8 <= frame.length;) {
    const length = view.getUint32(at);
    if (startsWith(frame.subarray(at + 4, at + 8), "jp2c")) return at + (length === 1 ? 16 : 8);
    if (length < 8) break;
    at += length;
  }
  throw new ConsiliumError("dicom.decode-failed");
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1").startsWith(text);
}
