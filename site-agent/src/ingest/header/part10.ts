/**
 * Finds where the data set of a DICOM file begins and how it is encoded (PS3.10 section 7.1), tolerating what real files
 * lack: the preamble, the prefix, or the whole meta header.
 */
import { inflateRawSync } from "node:zlib";
import { ConsiliumError } from "@consilium/shared/errors";
import {
  EXPLICIT_BIG,
  EXPLICIT_LITTLE,
  IMPLICIT_LITTLE,
  transferSyntax,
  type TransferSyntax,
} from "./syntax.ts";

const PREAMBLE_BYTES = 128;
const PREFIX = [0x44, 0x49, 0x43, 0x4d]; // "DICM"
const TRANSFER_SYNTAX_UID = 0x0002_0010;
/** No image of ours inflates to more, ... */
const MAX_INFLATED_BYTES = 1024 ** 3;
/** ... nor to so many times its size, unless it is small; a forged stream inflates to a thousand times. */
const MAX_INFLATION = 100;
const SMALL_INFLATED_BYTES = 64 * 1024 ** 2;

export interface DataSetBytes {
  readonly syntax: TransferSyntax;
  /** From the first element after the meta header on, inflated. */
  readonly bytes: Uint8Array;
}

/** Whether the first bytes of a file may be DICOM at all; cheap, and true for every file that locateDataSet accepts. */
export function looksLikeDicom(head: Uint8Array): boolean {
  return metaStart(head) !== null || bareSyntax(head) !== null;
}

/**
 * @throws dicom.not-dicom, dicom.truncated within the meta header or the deflated stream, dicom.unsupported for a
 * transfer syntax that this version does not read
 */
export function locateDataSet(file: Uint8Array): DataSetBytes {
  const start = metaStart(file);
  if (start === null) {
    const syntax = bareSyntax(file);
    if (syntax === null) throw new ConsiliumError("dicom.not-dicom");
    return { syntax, bytes: file };
  }
  const { uid, end } = readMetaHeader(file, start);
  const named = transferSyntax(uid);
  if (named === null) throw new ConsiliumError("dicom.unsupported", { detail: "(transfer syntax)" });
  const bytes = file.subarray(end);
  if (named.deflated) return { syntax: named, bytes: inflate(bytes) };
  return { syntax: asWritten(named, bytes), bytes };
}

/** Offset of the first element of group 0002, or null where there is no meta header. */
function metaStart(file: Uint8Array): number | null {
  if (hasPrefix(file, PREAMBLE_BYTES)) return PREAMBLE_BYTES + PREFIX.length;
  if (hasPrefix(file, 0)) return PREFIX.length;
  // Neither preamble nor prefix: (0002,0000) or (0002,0001) or so comes first, with a value representation.
  return file.length >= 8 && file[0] === 2 && file[1] === 0 && file[3] === 0 && hasVr(file, 4) ? 0 : null;
}

function hasPrefix(file: Uint8Array, at: number): boolean {
  return PREFIX.every((byte, i) => file[at + i] === byte);
}

/** A data set without any meta header begins with group 0008 (PS3.5 7.1: ascending tags; files have no group 0004). */
function bareSyntax(file: Uint8Array): TransferSyntax | null {
  if (file.length < 16) return null;
  if (file[0] === 8 && file[1] === 0 && file[3] === 0)
    return hasVr(file, 4) ? EXPLICIT_LITTLE : implicitOrNull(file);
  if (file[0] === 0 && file[1] === 8 && file[2] === 0 && hasVr(file, 4)) return EXPLICIT_BIG;
  return null;
}

/** Implicit VR has no magic at all: the first element's length has to make sense. */
function implicitOrNull(file: Uint8Array): TransferSyntax | null {
  const length = uint32(file, 4);
  const isKnown =
    file[2] === 0x00 || file[2] === 0x05 || file[2] === 0x08 || file[2] === 0x16 || file[2] === 0x18;
  return isKnown && length <= 64 && length % 2 === 0 ? IMPLICIT_LITTLE : null;
}

/** Some writers announce one of implicit and explicit, and write the other. The first element tells. */
function asWritten(named: TransferSyntax, bytes: Uint8Array): TransferSyntax {
  if (named.encoding !== "native" || named.bigEndian || bytes.length < 8) return named;
  return hasVr(bytes, 4) ? EXPLICIT_LITTLE : IMPLICIT_LITTLE;
}

function hasVr(file: Uint8Array, at: number): boolean {
  const isUpper = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x41 && byte <= 0x5a;
  return isUpper(file[at]) && isUpper(file[at + 1]);
}

/**
 * The meta header is explicit little endian, in a few files implicit. Its group length is often wrong, so it is not used.
 */
function readMetaHeader(file: Uint8Array, start: number): { uid: string; end: number } {
  let uid = "";
  let at = start;
  while (at + 8 <= file.length && uint16(file, at) === 2) {
    const tag = ((uint16(file, at) << 16) | uint16(file, at + 2)) >>> 0;
    const vr = String.fromCharCode(file[at + 4] ?? 0, file[at + 5] ?? 0);
    const isLong = LONG_VRS.has(vr);
    if (isLong && at + 12 > file.length) throw new ConsiliumError("dicom.truncated");
    const isImplicit = !hasVr(file, at + 4);
    const length = isImplicit ? uint32(file, at + 4) : isLong ? uint32(file, at + 8) : uint16(file, at + 6);
    const value = at + (isLong ? 12 : 8);
    if (value + length > file.length) throw new ConsiliumError("dicom.truncated");
    if (tag === TRANSFER_SYNTAX_UID) uid = text(file.subarray(value, value + length));
    at = value + length;
  }
  if (at >= file.length) throw new ConsiliumError("dicom.truncated");
  // A file without the element is in the default transfer syntax (PS3.5 10.1); asWritten corrects a wrong guess.
  return { uid: uid === "" ? IMPLICIT_LITTLE.uid : uid, end: at };
}

const LONG_VRS = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);

function inflate(bytes: Uint8Array): Uint8Array {
  try {
    const most = Math.max(SMALL_INFLATED_BYTES, bytes.length * MAX_INFLATION);
    return inflateRawSync(bytes, { maxOutputLength: Math.min(MAX_INFLATED_BYTES, most) });
  } catch (cause) {
    throw new ConsiliumError("dicom.truncated", { detail: "(deflated)", cause });
  }
}

const text = (bytes: Uint8Array): string =>
  String.fromCharCode(...bytes)
    .replaceAll("\0", "")
    .trim();

const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);

const uint32 = (bytes: Uint8Array, at: number): number =>
  (uint16(bytes, at) | (uint16(bytes, at + 2) << 16)) >>> 0;
