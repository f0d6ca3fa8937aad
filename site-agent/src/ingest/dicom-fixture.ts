/** Writes small DICOM files for tests, in every transfer syntax, element by element. */
import { createRequire } from "node:module";
import { deflateRawSync } from "node:zlib";
import type { Photometric } from "./header.ts";

export type FixtureSyntax =
  | "implicit"
  | "explicit"
  | "big-endian"
  | "deflated"
  | "rle"
  | "jpeg"
  | "jpeg-lossless"
  | "jpeg-ls"
  | "jpeg-ls-near"
  | "jpeg-2000"
  | "jpeg-2000-lossy"
  | "ht-jpeg-2000";

const UIDS: Readonly<Record<FixtureSyntax, string>> = {
  implicit: "1.2.840.10008.1.2",
  explicit: "1.2.840.10008.1.2.1",
  "big-endian": "1.2.840.10008.1.2.2",
  deflated: "1.2.840.10008.1.2.1.99",
  rle: "1.2.840.10008.1.2.5",
  jpeg: "1.2.840.10008.1.2.4.50",
  "jpeg-lossless": "1.2.840.10008.1.2.4.70",
  "jpeg-ls": "1.2.840.10008.1.2.4.80",
  "jpeg-ls-near": "1.2.840.10008.1.2.4.81",
  "jpeg-2000": "1.2.840.10008.1.2.4.90",
  "jpeg-2000-lossy": "1.2.840.10008.1.2.4.91",
  "ht-jpeg-2000": "1.2.840.10008.1.2.4.201",
};

export interface FixtureImage {
  readonly rows: number;
  readonly columns: number;
  readonly samples: 1 | 3;
  readonly bitsAllocated: 1 | 8 | 16 | 32;
  readonly bitsStored: number;
  readonly signed: boolean;
  readonly photometric: Photometric | "PALETTE COLOR";
  /** Frame bytes as uncompressed little endian has them. */
  readonly data: Uint8Array;
}

/** A tag as "ggggeeee", a value representation, and a text, number(s) or bytes. */
export type FixtureElement = readonly [
  tag: string,
  vr: string,
  value: string | number | readonly number[] | Uint8Array,
];

export interface FixtureOptions {
  readonly syntax?: FixtureSyntax;
  /** Written besides, or instead of, the usual ones. */
  readonly elements?: readonly FixtureElement[];
  /** Tags that are not written. */
  readonly without?: readonly string[];
  readonly preamble?: boolean;
  readonly meta?: boolean;
  /** The pixel element's fragments or value, instead of the encoded image. */
  readonly pixelData?: Uint8Array;
  /** Splits the frame into as many fragments. */
  readonly fragments?: number;
}

const LONG_VRS = new Set(["OB", "OW", "SQ", "UN", "UT", "UC", "UR"]);

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
  body.push(await pixelElement(image, syntax, options));
  let dataSet = Buffer.concat(body);
  if (syntax === "deflated") dataSet = deflateRawSync(dataSet);
  const meta = Buffer.concat([
    encodeElement(["00020002", "UI", "1.2.840.10008.5.1.4.1.1.1"], true, false),
    encodeElement(["00020003", "UI", "2.25.1"], true, false),
    encodeElement(["00020010", "UI", UIDS[syntax]], true, false),
  ]);
  return Buffer.concat([
    ...(options.preamble === false ? [] : [Buffer.alloc(128), Buffer.from("DICM")]),
    ...(options.meta === false ? [] : [meta]),
    dataSet,
  ]);
}

async function pixelElement(
  image: FixtureImage,
  syntax: FixtureSyntax,
  options: FixtureOptions,
): Promise<Buffer> {
  const isBig = syntax === "big-endian";
  if (["implicit", "explicit", "big-endian", "deflated"].includes(syntax)) {
    const value = options.pixelData ?? (isBig ? swap(image.data, image.bitsAllocated / 8) : image.data);
    const vr = image.bitsAllocated > 8 ? "OW" : "OB";
    return encodeElement(["7fe00010", vr, value], syntax !== "implicit", isBig);
  }
  const frame = options.pixelData ?? (await encodeFrame(image, syntax));
  const size = Math.ceil(frame.length / (options.fragments ?? 1) / 2) * 2;
  const items: Buffer[] = [item(new Uint8Array(0))];
  for (let at = 0; at < frame.length; at += size) items.push(item(frame.subarray(at, at + size)));
  const start = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  const end = Buffer.from([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
  return Buffer.concat([start, ...items, end]);
}

function item(value: Uint8Array): Buffer {
  const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
  const padded = padTo2(Buffer.from(value), 0);
  header.writeUInt32LE(padded.length, 4);
  return Buffer.concat([header, padded]);
}

/** With the encoders of dcmjs-codecs. */
export async function encodeFrame(image: FixtureImage, syntax: FixtureSyntax): Promise<Uint8Array> {
  const require = createRequire(import.meta.url);
  const { NativeCodecs, Context, log } = require("dcmjs-codecs") as typeof import("dcmjs-codecs");
  log.setLevel("silent");
  if (!NativeCodecs.isInitialized()) await NativeCodecs.initializeAsync();
  const context = new Context({
    width: image.columns,
    height: image.rows,
    bitsAllocated: image.bitsAllocated,
    bitsStored: image.bitsStored,
    samplesPerPixel: image.samples,
    pixelRepresentation: image.signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: image.photometric,
    decodedBuffer: image.data,
  });
  const encoded = ((): typeof context => {
    switch (syntax) {
      case "rle":
        return NativeCodecs.encodeRle(context);
      case "jpeg":
        return NativeCodecs.encodeJpeg(context, { lossy: true, quality: 90 });
      case "jpeg-lossless":
        return NativeCodecs.encodeJpeg(context, { lossy: false, predictor: 1, pointTransform: 0 });
      case "jpeg-ls":
        return NativeCodecs.encodeJpegLs(context, { lossy: false });
      case "jpeg-ls-near":
        return NativeCodecs.encodeJpegLs(context, { lossy: true, allowedLossyError: 3 });
      case "jpeg-2000":
        return NativeCodecs.encodeJpeg2000(context, { lossy: false });
      case "jpeg-2000-lossy":
        return NativeCodecs.encodeJpeg2000(context, { lossy: true, rate: 5 });
      case "ht-jpeg-2000":
        return NativeCodecs.encodeHtJpeg2000(context, { lossy: false });
      default:
        throw new RangeError(`${syntax} is not encapsulated`);
    }
  })();
  const frame = encoded.getEncodedBuffer();
  if (frame === undefined) throw new Error("the encoder gave nothing");
  return frame;
}

function encodeElement([tag, vr, value]: FixtureElement, explicit: boolean, isBig: boolean): Buffer {
  const bytes = encodeValue(vr, value, isBig);
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

function encodeValue(vr: string, value: FixtureElement[2], isBig: boolean): Buffer {
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

/** Smooth shapes with some noise, so that codecs have work to do: seeded, so that a failure repeats. */
export function syntheticImage(
  options: Partial<Omit<FixtureImage, "data">> & { readonly seed?: number } = {},
): FixtureImage & { readonly stored: readonly number[] } {
  const image = {
    rows: 40,
    columns: 32,
    samples: 1 as const,
    bitsAllocated: 8 as const,
    signed: false,
    photometric: "MONOCHROME2" as const,
    ...options,
  };
  const bitsStored = options.bitsStored ?? image.bitsAllocated;
  const span = 2 ** bitsStored;
  let state = (options.seed ?? 1) >>> 0;
  const noise = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const stored: number[] = [];
  for (let y = 0; y < image.rows; y++) {
    for (let x = 0; x < image.columns; x++) {
      for (let s = 0; s < image.samples; s++) {
        const wave = 0.5 + 0.35 * Math.sin(x / 5 + s) * Math.cos(y / 7) + 0.1 * noise();
        const level = Math.min(span - 1, Math.max(0, Math.floor(wave * span)));
        stored.push(image.signed ? level - span / 2 : level);
      }
    }
  }
  return { ...image, bitsStored, data: packSamples(stored, image.bitsAllocated), stored };
}

/** Little-endian bytes of samples; single bits from the lowest up. */
export function packSamples(
  samples: readonly number[],
  bitsAllocated: FixtureImage["bitsAllocated"],
): Uint8Array {
  if (bitsAllocated === 1) {
    const bytes = new Uint8Array(Math.ceil(samples.length / 8));
    for (const [i, bit] of samples.entries()) bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (bit << (i & 7));
    return bytes;
  }
  const size = bitsAllocated / 8;
  const bytes = new Uint8Array(samples.length * size);
  for (const [i, sample] of samples.entries())
    for (let b = 0; b < size; b++) bytes[i * size + b] = (sample >> (8 * b)) & 0xff;
  return bytes;
}
