/** Headers of JPEG XL codestreams (ISO 18181-1 annexes A to D), bare or within boxes (ISO 18181-2). */
import { ConsiliumError } from "@consilium/shared/errors";
import { findBox } from "./boxes.ts";
import type { CodestreamInfo } from "./info.ts";

const SIGNATURE = 0xff0a;
/** Width from height (SizeHeader's ratio), numerator and denominator; 0 is "given in full". */
const RATIOS = [
  [1, 1],
  [1, 1],
  [12, 10],
  [4, 3],
  [3, 2],
  [16, 9],
  [5, 4],
  [2, 1],
] as const;

/** @throws dicom.decode-failed, dicom.unsupported for floats, animations, previews, turned images, extra channels */
export function readJpegXlInfo(frame: Uint8Array): CodestreamInfo {
  const codestream = frame[0] === 0xff ? frame : boxedCodestream(frame);
  if (codestream === null || codestream.length < 4) throw new ConsiliumError("dicom.decode-failed");
  if (((codestream[0] ?? 0) << 8) + (codestream[1] ?? 0) !== SIGNATURE)
    throw new ConsiliumError("dicom.decode-failed");
  const bits = new BitReader(codestream.subarray(2));
  const { rows, columns } = readSize(bits);
  const { precision, components, isXyb } = readMetadata(bits);
  // A recompressed JPEG becomes RGB as well; its box tells that there was one.
  const isJpeg = codestream !== frame && findBox(frame, ["jbrd"]) !== null;
  const colour = components === 3 && (isXyb || isJpeg) ? "RGB" : null;
  // The decoder reads the boxes itself: a codestream may lie in several of them.
  return { rows, columns, components, precision, signed: false, colour, codestream: frame };
}

/** Its beginning is enough. */
function boxedCodestream(frame: Uint8Array): Uint8Array | null {
  const whole = findBox(frame, ["jxlc"]);
  if (whole !== null) return whole;
  // Parts begin with their number.
  return findBox(frame, ["jxlp"])?.subarray(4) ?? null;
}

function readSize(bits: BitReader): { rows: number; columns: number } {
  const isSmall = bits.flag();
  const side = (): number =>
    isSmall ? (bits.read(5) + 1) * 8 : 1 + bits.read([9, 13, 18, 30][bits.read(2)] ?? 0);
  const rows = side();
  const ratio = bits.read(3);
  if (ratio === 0) return { rows, columns: side() };
  const [numerator, denominator] = RATIOS[ratio] ?? RATIOS[1];
  return { rows, columns: Math.floor((rows * numerator) / denominator) };
}

function readMetadata(bits: BitReader): { precision: number; components: number; isXyb: boolean } {
  const allDefault = bits.flag();
  if (allDefault) return { precision: 8, components: 3, isXyb: true };
  if (bits.flag()) {
    const isTurned = bits.read(3) !== 0;
    // An intrinsic size is a hint to browsers; previews and animations hold further images.
    if (bits.flag()) readSize(bits);
    if (isTurned || bits.flag() || bits.flag()) throw unsupported();
  }
  if (bits.flag()) throw unsupported(); // floats
  const selector = bits.read(2);
  const precision = [8, 10, 12][selector] ?? 1 + bits.read(6);
  bits.flag(); // whether 16-bit buffers suffice
  if (bits.read(2) !== 0) throw unsupported(); // extra channels
  const isXyb = bits.flag();
  return { precision, components: readIsGrey(bits) ? 1 : 3, isXyb };
}

/** Of the colour encoding; one that comes as an ICC profile names its colour space as well. */
function readIsGrey(bits: BitReader): boolean {
  if (bits.flag()) return false; // all default: sRGB
  bits.flag(); // whether an ICC profile follows
  const selector = bits.read(2);
  const space = selector < 2 ? selector : selector === 2 ? 2 + bits.read(4) : 18 + bits.read(6);
  return space === 1;
}

const unsupported = (): ConsiliumError =>
  new ConsiliumError("dicom.unsupported", { detail: "(kind of JPEG XL)" });

/** Lowest bit of each byte first. */
class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++) {
      const byte = this.#bytes[this.#at >> 3];
      if (byte === undefined) throw new ConsiliumError("dicom.decode-failed");
      value += ((byte >> (this.#at & 7)) & 1) * 2 ** i;
    }
    return value;
  }

  flag(): boolean {
    return this.read(1) === 1;
  }
}
