/** Encapsulated pixel data (PS3.5 annex A.4): an offset table, then fragments, then a delimiter; and which fragments make a frame. */
import { ConsiliumError } from "@consilium/shared/errors";

const ITEM = 0xe000_fffe;
const DELIMITER = 0xe0dd_fffe;

interface Fragment {
  /** Of its item, from the first fragment's item on: what offset tables count. */
  readonly at: number;
  readonly data: Uint8Array;
}

interface Encapsulated {
  /** Basic Offset Table: 32-bit offsets of the frames' first items; may be empty. */
  readonly offsets: Uint8Array;
  readonly fragments: readonly Fragment[];
}

/** The encoded bytes of each frame. */
export type FrameList = readonly (readonly Uint8Array[])[];

/**
 * Assigns fragments to frames: one each where the numbers agree; else by the offset tables, if they point at items; else
 * by the codestreams' own beginnings.
 * @param offset of the first item, the offset table
 * @param startsFrame whether a codestream begins with these bytes
 * @throws dicom.truncated, dicom.decode-failed, dicom.no-pixels; dicom.wrong-size where frames and fragments do not agree
 */
export function listFrames(
  bytes: Uint8Array,
  offset: number,
  frames: number,
  extendedOffsets: Uint8Array | null,
  startsFrame: (fragment: Uint8Array) => boolean,
): FrameList {
  const { offsets, fragments } = readFragments(bytes, offset);
  if (fragments.length === 0) throw new ConsiliumError("dicom.no-pixels");
  if (frames === 1) return [fragments.map(({ data }) => data)];
  if (fragments.length === frames) return fragments.map(({ data }) => [data]);
  const starts =
    startsByOffset(fragments, readOffsets(extendedOffsets, 8), frames) ??
    startsByOffset(fragments, readOffsets(offsets, 4), frames) ??
    fragments.flatMap(({ data }, i) => (startsFrame(data) ? [i] : []));
  if (starts.length !== frames || starts[0] !== 0) throw new ConsiliumError("dicom.wrong-size");
  return starts.map((start, i) => fragments.slice(start, starts[i + 1]).map(({ data }) => data));
}

/** One buffer of a frame's fragments. */
export function joinFragments(fragments: readonly Uint8Array[]): Uint8Array {
  const [first] = fragments;
  return first !== undefined && fragments.length === 1 ? first : Buffer.concat(fragments);
}

function readFragments(bytes: Uint8Array, offset: number): Encapsulated {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fragments: Fragment[] = [];
  let offsets: Uint8Array | null = null;
  let base = 0;
  for (let at = offset; ;) {
    // Some writers leave the last delimiter out; what was cut within a fragment is found below.
    if (at === bytes.length && fragments.length > 0) break;
    if (at + 8 > bytes.length) throw new ConsiliumError("dicom.truncated");
    const tag = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (tag === DELIMITER) break;
    if (tag !== ITEM || length === 0xffff_ffff) throw new ConsiliumError("dicom.decode-failed");
    const end = at + 8 + length;
    if (end > bytes.length) throw new ConsiliumError("dicom.truncated");
    const data = bytes.subarray(at + 8, end);
    if (offsets === null) {
      offsets = data;
      base = end;
    } else fragments.push({ at: at - base, data });
    at = end;
  }
  return { offsets: offsets ?? new Uint8Array(0), fragments };
}

function readOffsets(table: Uint8Array | null, size: 4 | 8): readonly number[] {
  if (table === null) return [];
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  return Array.from({ length: Math.floor(table.length / size) }, (_, i) =>
    size === 4 ? view.getUint32(i * 4, true) : Number(view.getBigUint64(i * 8, true)),
  );
}

/** The first fragment of each frame, or null unless every offset is an item's and they ascend. */
function startsByOffset(
  fragments: readonly Fragment[],
  offsets: readonly number[],
  frames: number,
): readonly number[] | null {
  if (offsets.length !== frames) return null;
  const indexOf = new Map(fragments.map(({ at }, i) => [at, i]));
  const starts: number[] = [];
  for (const offset of offsets) {
    const index = indexOf.get(offset);
    if (index === undefined || index <= (starts.at(-1) ?? -1)) return null;
    starts.push(index);
  }
  return starts;
}
