/**
 * The elements of a data set (PS3.5 section 7), found by walking over their lengths: values are read when they are asked
 * for, and sequences are entered then. Nothing of a value is ever quoted in an error.
 */
import { ConsiliumError } from "@consilium/shared/errors";

/** (7FE0,0010): where reading stops. */
export const PIXEL_DATA = 0x7fe0_0010;

export interface DataSetEncoding {
  /** Whether elements carry their value representation. */
  readonly explicit: boolean;
  readonly bigEndian: boolean;
}

export interface Element {
  readonly tag: number;
  /** "" where the encoding leaves it out. */
  readonly vr: string;
  /** Of the value. */
  readonly offset: number;
  readonly length: number;
  /** The length was not given: the value ends with a delimiter, `length` leads to it. Of pixel data it is 0. */
  readonly isUndefined: boolean;
}

const ITEM = 0xfffe_e000;
const ITEM_END = 0xfffe_e00d;
const SEQUENCE_END = 0xfffe_e0dd;
const UNDEFINED = 0xffff_ffff;
/** Value representations whose length takes four bytes, after two that are reserved (PS3.5 7.1.2). */
const LONG_VRS = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const IMPLICIT: DataSetEncoding = { explicit: false, bigEndian: false };
/** Sequences within sequences; real ones have five or so. */
const MAX_DEPTH = 32;

export class DataSet {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #encoding: DataSetEncoding;
  readonly #elements: ReadonlyMap<number, Element>;

  private constructor(bytes: Uint8Array, encoding: DataSetEncoding, elements: ReadonlyMap<number, Element>) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#encoding = encoding;
    this.#elements = elements;
  }

  /**
   * The elements up to and including pixel data, whose value may lie beyond the end.
   * @throws dicom.truncated if another element's value does
   */
  static parse(bytes: Uint8Array, encoding: DataSetEncoding): DataSet {
    return new DataSet(bytes, encoding, new Walker(bytes, encoding).elements(0, bytes.length, 0).elements);
  }

  has(tag: number): boolean {
    return this.#elements.has(tag);
  }

  element(tag: number): Element | undefined {
    return this.#elements.get(tag);
  }

  /** The bytes of a value, as they stand. */
  value(tag: number): Uint8Array | undefined {
    const found = this.#elements.get(tag);
    return found === undefined ? undefined : this.#bytes.subarray(found.offset, found.offset + found.length);
  }

  /** All of a text value up to a zero byte, without spaces around it; undefined if it is empty. */
  text(tag: number): string | undefined {
    const bytes = this.value(tag);
    if (bytes === undefined || bytes.length === 0) return undefined;
    const end = bytes.indexOf(0);
    return Buffer.from(bytes.buffer, bytes.byteOffset, end < 0 ? bytes.length : end)
      .toString("latin1")
      .trim();
  }

  /** One of several values that backslashes divide. */
  textAt(tag: number, index: number): string | undefined {
    return this.text(tag)?.split("\\")[index]?.trim();
  }

  /** A decimal string (DS), if it is a finite number. */
  decimal(tag: number, index = 0): number | undefined {
    const value = Number.parseFloat(this.textAt(tag, index) ?? "");
    return Number.isFinite(value) ? value : undefined;
  }

  /** `count` decimal strings, or null unless all are finite numbers. */
  decimals(tag: number, count: number): readonly number[] | null {
    const values = Array.from({ length: count }, (_, i) => this.decimal(tag, i));
    return values.every((value) => value !== undefined) ? values : null;
  }

  /** An integer string (IS). */
  integer(tag: number): number | undefined {
    const value = Number.parseInt(this.textAt(tag, 0) ?? "", 10);
    return Number.isNaN(value) ? undefined : value;
  }

  uint16(tag: number, index = 0): number | undefined {
    const at = this.#wordAt(tag, index);
    return at === undefined ? undefined : this.#view.getUint16(at, !this.#encoding.bigEndian);
  }

  int16(tag: number, index = 0): number | undefined {
    const at = this.#wordAt(tag, index);
    return at === undefined ? undefined : this.#view.getInt16(at, !this.#encoding.bigEndian);
  }

  uint32(tag: number): number | undefined {
    const found = this.#elements.get(tag);
    if (found === undefined || found.length < 4) return undefined;
    return this.#view.getUint32(found.offset, !this.#encoding.bigEndian);
  }

  /** The items of a sequence; none if it is missing. @throws dicom.truncated */
  items(tag: number): readonly DataSet[] {
    const found = this.#elements.get(tag);
    if (found === undefined) return [];
    const { offset, length, vr } = found;
    // A sequence that a middleman did not know is left in implicit little endian (PS3.5 6.2.2).
    const encoding = vr === "UN" ? IMPLICIT : this.#encoding;
    const walker = new Walker(this.#bytes, encoding);
    return walker
      .items(offset, offset + length)
      .map((elements) => new DataSet(this.#bytes, encoding, elements));
  }

  /** The only item of a sequence, as functional groups have it. */
  item(tag: number): DataSet | undefined {
    return this.items(tag)[0];
  }

  #wordAt(tag: number, index: number): number | undefined {
    const found = this.#elements.get(tag);
    return found === undefined || (index + 1) * 2 > found.length ? undefined : found.offset + index * 2;
  }
}

/** Finds elements, items and their ends. */
class Walker {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #encoding: DataSetEncoding;

  constructor(bytes: Uint8Array, encoding: DataSetEncoding) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#encoding = encoding;
  }

  /** Elements from `start` on, until `end`, an item's delimiter or pixel data; `next` is where they ended. */
  elements(start: number, end: number, depth: number): { elements: Map<number, Element>; next: number } {
    if (depth > MAX_DEPTH) throw truncated();
    const elements = new Map<number, Element>();
    let at = start;
    while (at + 8 <= end) {
      const tag = this.#tag(at);
      if (tag === ITEM_END) return { elements, next: at + 8 };
      const element = this.#element(at, tag, depth);
      elements.set(tag, element);
      if (tag === PIXEL_DATA && depth === 0) break;
      at = element.offset + element.length + (element.isUndefined ? 8 : 0);
      if (at > end) throw truncated();
    }
    return { elements, next: at };
  }

  /** The elements of each item of a sequence's value. */
  items(start: number, end: number): Map<number, Element>[] {
    const items: Map<number, Element>[] = [];
    for (let at = start; at + 8 <= end && this.#tag(at) === ITEM;) {
      const length = this.#uint32(at + 4);
      if (length !== UNDEFINED && at + 8 + length > end) throw truncated();
      const { elements, next } = this.elements(at + 8, length === UNDEFINED ? end : at + 8 + length, 1);
      items.push(elements);
      at = length === UNDEFINED ? next : at + 8 + length;
    }
    return items;
  }

  #element(at: number, tag: number, depth: number): Element {
    const { vr, length, offset } = this.#header(at);
    if (length !== UNDEFINED) return { tag, vr, offset, length, isUndefined: false };
    if (tag === PIXEL_DATA && depth === 0) return { tag, vr, offset, length: 0, isUndefined: true };
    // What has no length is a sequence, or fragments, which are items as well.
    const walker = vr === "UN" ? new Walker(this.#bytes, IMPLICIT) : this;
    return { tag, vr, offset, length: walker.#sequenceEnd(offset, depth) - offset, isUndefined: true };
  }

  /** Where the delimiter of a sequence of undefined length lies. */
  #sequenceEnd(start: number, depth: number): number {
    let at = start;
    for (;;) {
      if (at + 8 > this.#bytes.length) throw truncated();
      const tag = this.#tag(at);
      if (tag === SEQUENCE_END) return at;
      if (tag !== ITEM) throw truncated();
      const length = this.#uint32(at + 4);
      at = length === UNDEFINED ? this.elements(at + 8, this.#bytes.length, depth + 1).next : at + 8 + length;
    }
  }

  /** Value representation, length and place of the value. */
  #header(at: number): { readonly vr: string; readonly length: number; readonly offset: number } {
    const first = this.#bytes[at + 4] ?? 0;
    const second = this.#bytes[at + 5] ?? 0;
    // A few writers put elements without value representation among those with one.
    if (!this.#encoding.explicit || !isLetter(first) || !isLetter(second))
      return { vr: "", length: this.#uint32(at + 4), offset: at + 8 };
    const vr = String.fromCharCode(first, second);
    if (!LONG_VRS.has(vr)) return { vr, length: this.#uint16(at + 6), offset: at + 8 };
    if (at + 12 > this.#bytes.length) throw truncated();
    return { vr, length: this.#uint32(at + 8), offset: at + 12 };
  }

  #tag(at: number): number {
    return this.#uint16(at) * 0x1_0000 + this.#uint16(at + 2);
  }

  #uint16(at: number): number {
    return this.#view.getUint16(at, !this.#encoding.bigEndian);
  }

  #uint32(at: number): number {
    return this.#view.getUint32(at, !this.#encoding.bigEndian);
  }
}

const isLetter = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

const truncated = (): ConsiliumError => new ConsiliumError("dicom.truncated", { detail: "(header)" });
