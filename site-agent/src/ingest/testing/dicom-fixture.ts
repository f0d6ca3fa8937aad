/** Writes small DICOM files for tests, in every transfer syntax, element by element. */
import { deflateRawSync } from "node:zlib";
import { encodeFrame, type FixtureSyntax } from "./encode-frame.ts";
import type { FixtureImage } from "./synthetic-image.ts";

const UIDS: Readonly<Record<FixtureSyntax, string>> = {
  implicit: "1.2.840.10008.1.2",
  explicit: "1.2.840.10008.1.2.1",
  "big-endian": "1.2.840.10008.1.2.2",
  deflated: "1.2.840.10008.1.2.1.99",
  "encapsulated-native": "1.2.840.10008.1.2.1.98",
  "frame-deflate": "1.2.840.10008.1.2.8.1",
  rle: "1.2.840.10008.1.2.5",
  jpeg: "1.2.840.10008.1.2.4.50",
  "jpeg-lossless": "1.2.840.10008.1.2.4.70",
  "jpeg-ls": "1.2.840.10008.1.2.4.80",
  "jpeg-ls-near": "1.2.840.10008.1.2.4.81",
  "jpeg-2000": "1.2.840.10008.1.2.4.90",
  "jpeg-2000-lossy": "1.2.840.10008.1.2.4.91",
  "ht-jpeg-2000": "1.2.840.10008.1.2.4.201",
  "jpeg-xl": "1.2.840.10008.1.2.4.110",
  "jpeg-xl-lossy": "1.2.840.10008.1.2.4.112",
};

/** A tag as "ggggeeee", a value representation, and a text, 16-bit number(s), bytes, or the items of a sequence. */
export type FixtureElement = readonly [
  tag: string,
  vr: string,
  value: string | number | readonly number[] | Uint8Array | FixtureSequence,
];

export interface FixtureSequence {
  readonly items: readonly (readonly FixtureElement[])[];
}

export interface FixtureOptions {
  readonly syntax?: FixtureSyntax;
  /** Written besides, or instead of, the usual ones. */
  readonly elements?: readonly FixtureElement[];
  /** Tags that are not written. */
  readonly without?: readonly string[];
  readonly preamble?: boolean;
  readonly meta?: boolean;
  /** The transfer syntax that is announced, where it is not the usual one. */
  readonly uid?: string;
  /** The pixel element's value representation, where it is not the usual one. */
  readonly vr?: "OB" | "OW" | "OL" | "UN";
  /** The pixel element's frame or value, instead of the encoded image. */
  readonly pixelData?: Uint8Array;
  /** False for objects without an image, such as reports. */
  readonly pixels?: boolean;
  /** Several frames of this size instead of the image's one. */
  readonly frames?: readonly Uint8Array[];
  /** Splits each encapsulated frame into as many fragments. */
  readonly fragments?: number;
  readonly offsetTable?: "empty" | "basic" | "extended" | "wrong";
}

const LONG_VRS = new Set(["OB", "OL", "OV", "OW", "SQ", "UN", "UT", "UC", "UR"]);

export async function writeDicom(image: FixtureImage, options: FixtureOptions = {}): Promise<Uint8Array> {
  const syntax = options.syntax ?? "explicit";
  const elements = new Map<string, FixtureElement>();
  const highBit = image.bitsStored - 1;
  const usual: readonly FixtureElement[] = [
    ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.1"],
    ["00080018", "UI", "2.25.1"],
    ["00080060", "CS", "CR"],
    ["00100020", "LO", "P1"],
    ["0020000d", "UI", "2.25.2"],
    ["00280002", "US", image.samples],
    ["00280004", "CS", image.photometric],
    ...(image.samples === 3 ? [["00280006", "US", 0] as const] : []),
    ...(options.frames === undefined ? [] : [["00280008", "IS", `${options.frames.length}`] as const]),
    ["00280010", "US", image.rows],
    ["00280011", "US", image.columns],
    ["00280100", "US", image.bitsAllocated],
    ["00280101", "US", image.bitsStored],
    ["00280102", "US", highBit],
    ["00280103", "US", image.signed ? 1 : 0],
  ];
  for (const element of [...usual, ...(options.elements ?? [])]) elements.set(element[0], element);
  for (const tag of options.without ?? []) elements.delete(tag);

  const isBig = syntax === "big-endian";
  const explicit = syntax !== "implicit";
  const body = [...elements.values()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map((element) => encodeElement(element, explicit, isBig));
  if (options.pixels !== false) body.push(...(await pixelElements(image, syntax, options)));
  let dataSet = Buffer.concat(body);
  if (syntax === "deflated") dataSet = deflateRawSync(dataSet);
  const meta = Buffer.concat([
    encodeElement(["00020002", "UI", "1.2.840.10008.5.1.4.1.1.1"], true, false),
    encodeElement(["00020003", "UI", "2.25.1"], true, false),
    encodeElement(["00020010", "UI", options.uid ?? UIDS[syntax]], true, false),
  ]);
  return Buffer.concat([
    ...(options.preamble === false ? [] : [Buffer.alloc(128), Buffer.from("DICM")]),
    ...(options.meta === false ? [] : [meta]),
    dataSet,
  ]);
}

async function pixelElements(
  image: FixtureImage,
  syntax: FixtureSyntax,
  options: FixtureOptions,
): Promise<readonly Buffer[]> {
  const isBig = syntax === "big-endian";
  if (["implicit", "explicit", "big-endian", "deflated"].includes(syntax)) {
    const vr = options.vr ?? (image.bitsAllocated > 8 ? "OW" : "OB");
    const data = padTo2(Buffer.concat(options.frames ?? [image.data]), 0);
    const value = options.pixelData ?? (isBig ? swap(data, vr === "OW" ? 2 : vr === "OL" ? 4 : 1) : data);
    return [encodeElement(["7fe00010", vr, value], syntax !== "implicit", isBig)];
  }
  const frames: Uint8Array[] = [];
  for (const data of options.frames ?? [image.data])
    frames.push(options.pixelData ?? (await encodeFrame({ ...image, data }, syntax)));
  const starts: number[] = [];
  const items: Buffer[] = [];
  for (const frame of frames) {
    starts.push(Buffer.concat(items).length);
    const size = Math.ceil(frame.length / (options.fragments ?? 1) / 2) * 2;
    for (let at = 0; at < frame.length; at += size) items.push(item(frame.subarray(at, at + size)));
  }
  const table = options.offsetTable ?? "empty";
  const basic = table === "basic" ? starts : table === "wrong" ? starts.map((at) => at + 2) : [];
  const start = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  const end = Buffer.from([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
  return [
    ...(table === "extended" ? extendedTables(starts, frames) : []),
    Buffer.concat([start, item(Buffer.from(Uint32Array.from(basic).buffer)), ...items, end]),
  ];
}

function extendedTables(starts: readonly number[], frames: readonly Uint8Array[]): readonly Buffer[] {
  const wide = (values: readonly number[]): Buffer => Buffer.from(BigUint64Array.from(values, BigInt).buffer);
  return [
    encodeElement(["7fe00001", "OV", wide(starts)], true, false),
    encodeElement(["7fe00002", "OV", wide(frames.map(({ length }) => length))], true, false),
  ];
}

function item(value: Uint8Array): Buffer {
  const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
  const padded = padTo2(Buffer.from(value), 0);
  header.writeUInt32LE(padded.length, 4);
  return Buffer.concat([header, padded]);
}

function encodeElement([tag, vr, value]: FixtureElement, explicit: boolean, isBig: boolean): Buffer {
  const bytes = isSequence(value) ? encodeItems(value, explicit, isBig) : encodeValue(vr, value, isBig);
  const isLong = LONG_VRS.has(vr);
  const header = Buffer.alloc(explicit && isLong ? 12 : 8);
  const put16 = (n: number, at: number): number =>
    isBig ? header.writeUInt16BE(n, at) : header.writeUInt16LE(n, at);
  const put32 = (n: number, at: number): number =>
    isBig ? header.writeUInt32BE(n, at) : header.writeUInt32LE(n, at);
  put16(parseInt(tag.slice(0, 4), 16), 0);
  put16(parseInt(tag.slice(4), 16), 2);
  if (explicit) header.write(vr, 4, "latin1");
  if (!explicit) put32(bytes.length, 4);
  else if (isLong) put32(bytes.length, 8);
  else put16(bytes.length, 6);
  return Buffer.concat([header, bytes]);
}

const isSequence = (value: FixtureElement[2]): value is FixtureSequence =>
  typeof value === "object" && "items" in value;

function encodeItems({ items }: FixtureSequence, explicit: boolean, isBig: boolean): Buffer {
  return Buffer.concat(
    items.map((elements) => {
      const body = Buffer.concat(elements.map((element) => encodeElement(element, explicit, isBig)));
      const header = Buffer.alloc(8);
      if (isBig) header.writeUInt32BE(0xfffe_e000, 0);
      else header.set([0xfe, 0xff, 0x00, 0xe0]);
      if (isBig) header.writeUInt32BE(body.length, 4);
      else header.writeUInt32LE(body.length, 4);
      return Buffer.concat([header, body]);
    }),
  );
}

function encodeValue(vr: string, value: Exclude<FixtureElement[2], FixtureSequence>, isBig: boolean): Buffer {
  if (typeof value === "string") return padTo2(Buffer.from(value, "latin1"), vr === "UI" ? 0 : 0x20);
  if (value instanceof Uint8Array) return padTo2(Buffer.from(value), 0);
  const numbers = typeof value === "number" ? [value] : value;
  const bytes = Buffer.alloc(numbers.length * 2);
  for (const [i, number] of numbers.entries()) {
    const word = number & 0xffff;
    if (isBig) bytes.writeUInt16BE(word, i * 2);
    else bytes.writeUInt16LE(word, i * 2);
  }
  return bytes;
}

function padTo2(bytes: Buffer, fill: number): Buffer {
  return bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([fill])]);
}

function swap(data: Uint8Array, size: number): Uint8Array {
  return Uint8Array.from(data, (_, i) => data[i - (i % size) + size - 1 - (i % size)] ?? 0);
}
