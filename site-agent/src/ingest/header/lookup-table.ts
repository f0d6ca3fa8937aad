/** Tables from stored values to others: the modality's (PS3.3 C.11.1) and the palette's (PS3.3 C.7.6.3.1.5 and .6, C.7.9.2). */
import { ConsiliumError } from "@consilium/shared/errors";
import type { DataSet } from "./data-set.ts";

/** Values outside take the first or last entry. */
export interface LookupTable {
  /** The stored value of the first entry. */
  readonly first: number;
  readonly values: Uint16Array;
}

/** Tables of equal length, 8 or 16 bits an entry. */
export interface Palette {
  readonly red: LookupTable;
  readonly green: LookupTable;
  readonly blue: LookupTable;
  /** Of an entry. */
  readonly bits: 8 | 16;
  /** Written as segments (PS3.3 C.7.9.2) and expanded here. */
  readonly segmented: boolean;
}

const TAG = {
  modalityLut: 0x0028_3000,
  descriptor: 0x0028_3002,
  data: 0x0028_3006,
} as const;

const PALETTE_TAGS = [
  { colour: "red", descriptor: 0x0028_1101, data: 0x0028_1201, segmented: 0x0028_1221 },
  { colour: "green", descriptor: 0x0028_1102, data: 0x0028_1202, segmented: 0x0028_1222 },
  { colour: "blue", descriptor: 0x0028_1103, data: 0x0028_1203, segmented: 0x0028_1223 },
] as const;

/** The first item of the Modality LUT Sequence, or null. @throws dicom.unsupported if it is cut */
export function readModalityLut(dataSet: DataSet, signed: boolean): LookupTable | null {
  const sequence = dataSet.item(TAG.modalityLut);
  const descriptor = sequence === undefined ? null : readDescriptor(sequence, TAG.descriptor, signed);
  if (sequence === undefined || descriptor === null) return null;
  const { length, first } = descriptor;
  if ((sequence.element(TAG.data)?.length ?? 0) !== length * 2) throw unsupported("modality lookup table");
  return { first, values: readWords(sequence, TAG.data) };
}

/**
 * The palette of a PALETTE COLOR image, or null where a table is missing.
 * @throws dicom.unsupported if a table is not as long as its descriptor says
 */
export function readPalette(dataSet: DataSet, signed: boolean): Palette | null {
  const tables = PALETTE_TAGS.map(({ descriptor: tag, data, segmented }) => {
    const descriptor = readDescriptor(dataSet, tag, signed);
    if (descriptor === null) return null;
    const { length, first, bits } = descriptor;
    if (dataSet.has(segmented))
      return {
        first,
        bits,
        segmented: true,
        values: expandSegments(segments(dataSet, segmented, bits), bits, length),
      };
    if (!dataSet.has(data)) return null;
    return { first, bits, segmented: false, values: plainEntries(dataSet, data, length, bits) };
  });
  const [red, green, blue] = tables;
  if (red == null || green == null || blue == null) return null;
  return { red, green, blue, bits: red.bits, segmented: red.segmented };
}

interface Descriptor {
  readonly length: number;
  readonly first: number;
  readonly bits: 8 | 16;
}

function readDescriptor(dataSet: DataSet, tag: number, signed: boolean): Descriptor | null {
  if ((dataSet.element(tag)?.length ?? 0) < 6) return null;
  const length = dataSet.uint16(tag, 0) ?? 0;
  const first = (signed ? dataSet.int16(tag, 1) : dataSet.uint16(tag, 1)) ?? 0;
  // 0 stands for 65536 entries, which 16 bits cannot hold.
  return { length: length === 0 ? 65_536 : length, first, bits: dataSet.uint16(tag, 2) === 8 ? 8 : 16 };
}

/** 8-bit entries fill words two by two (PS3.3 C.7.6.3.1.6), though some writers give each a word. */
function plainEntries(dataSet: DataSet, tag: number, length: number, bits: 8 | 16): Uint16Array {
  const bytes = dataSet.value(tag) ?? new Uint8Array(0);
  const words = readWords(dataSet, tag);
  if (words.length === length) return words;
  if (bits === 8 && bytes.length === length + (length % 2)) return bytesOfWords(words).subarray(0, length);
  throw unsupported("palette");
}

/** Segmented data: words, or bytes packed into words where entries have 8 bits. */
function segments(dataSet: DataSet, tag: number, bits: 8 | 16): Uint16Array {
  const words = readWords(dataSet, tag);
  return bits === 8 ? bytesOfWords(words) : words;
}

/** Little-endian halves, whatever the file's byte order. */
function bytesOfWords(words: Uint16Array): Uint16Array {
  return Uint16Array.from(
    { length: words.length * 2 },
    (_, i) => ((words[i >> 1] ?? 0) >> (8 * (i & 1))) & 0xff,
  );
}

function readWords(dataSet: DataSet, tag: number): Uint16Array {
  const length = (dataSet.element(tag)?.length ?? 0) >> 1;
  return Uint16Array.from({ length }, (_, i) => dataSet.uint16(tag, i) ?? 0);
}

const SEGMENT = { discrete: 0, linear: 1, indirect: 2 } as const;

/**
 * PS3.3 C.7.9.2: discrete segments list entries, linear ones rise or fall to an end value, indirect ones repeat earlier
 * segments, whose place they give in bytes, least significant part first.
 * @throws dicom.unsupported unless exactly `length` entries come out
 */
function expandSegments(data: Uint16Array, bits: 8 | 16, length: number): Uint16Array {
  const unitBytes = bits / 8;
  /** Entries that hold the 32 bits of an offset. */
  const offsetUnits = 4 / unitBytes;
  const out = new Uint16Array(length);
  let filled = 0;
  const put = (value: number): void => {
    if (filled >= length) throw unsupported("palette");
    out[filled++] = value;
  };
  const at = (index: number): number => data[index] ?? fail();
  /** Expands `count` segments from `start` on; returns where the next one begins. */
  const expand = (start: number, count: number, isNested: boolean): number => {
    let next = start;
    for (let i = 0; i < count && next < data.length && filled < length; i++) {
      const kind = at(next);
      const size = at(next + 1);
      if (kind === SEGMENT.discrete) {
        for (let k = 0; k < size; k++) put(at(next + 2 + k));
        next += 2 + size;
      } else if (kind === SEGMENT.linear && filled > 0) {
        const from = out[filled - 1] ?? 0;
        const to = at(next + 2);
        for (let k = 1; k <= size; k++) put(Math.round(from + ((to - from) * k) / size));
        next += 3;
      } else if (kind === SEGMENT.indirect && !isNested) {
        let offset = 0;
        for (let k = 0; k < offsetUnits; k++) offset += at(next + 2 + k) * 2 ** (bits * k);
        expand(offset / unitBytes, size, true);
        next += 2 + offsetUnits;
      } else fail();
    }
    return next;
  };
  expand(0, Infinity, false);
  if (filled !== length) fail();
  return out;
}

function fail(): never {
  throw unsupported("palette");
}

const unsupported = (what: string): ConsiliumError =>
  new ConsiliumError("dicom.unsupported", { detail: `(${what})` });
