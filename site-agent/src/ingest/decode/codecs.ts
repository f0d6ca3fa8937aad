/**
 * The WebAssembly decoders. A decoder that throws may have trapped half-way, so it is dropped and made anew for the next
 * frame. What decoders throw (strings, numbers, text of the file) never leaves here.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ConsiliumError } from "@consilium/shared/errors";
import type { CompressedEncoding } from "./codestream/codestream.ts";
import type { CodestreamInfo } from "./codestream/info.ts";
import { decodeJpeg2000 } from "./openjpeg.ts";

/** Samples as a decoder gives them. */
export interface DecodedFrame {
  /** Little-endian samples of 1 or 2 bytes. */
  readonly data: Uint8Array;
  readonly bytesPerSample: number;
  readonly order: SampleOrder;
}

export type SampleOrder =
  | "interleaved"
  /** Colour planes one after the other. */
  | "planar"
  /** As planar, but each row of planes is written into every third place of three rows (see `decodeHtJpeg2000`). */
  | "planes as rows";

type Charls = Awaited<ReturnType<(typeof import("@cornerstonejs/codec-charls/decodewasmjs"))["default"]>>;
type NativeCodecs = (typeof import("dcmjs-codecs"))["NativeCodecs"];
type Context = (typeof import("dcmjs-codecs"))["Context"];

const require = createRequire(import.meta.url);
const silent = (): void => undefined;

let charls: Promise<Charls> | null = null;
let native: Promise<{ codecs: NativeCodecs; Context: Context }> | null = null;

/**
 * Decodes one frame of an encapsulated image, without any colour conversion besides that of JPEG 2000's own
 * component transform and JPEG XL's.
 * @throws dicom.decode-failed, dicom.unsupported for depths that the decoder would silently cut
 */
export async function decodeCodestream(
  encoding: CompressedEncoding,
  info: CodestreamInfo,
): Promise<DecodedFrame> {
  if (info.precision > 16 || info.precision < 1)
    throw new ConsiliumError("dicom.unsupported", { detail: "(depth of the codestream)" });
  try {
    switch (encoding) {
      case "jpeg-ls":
        return await decodeJpegLs(info);
      case "jpeg-2000":
        return decodePart1(info);
      default:
        return await decodeNative(encoding, info);
    }
  } catch {
    charls = null;
    native = null;
    throw new ConsiliumError("dicom.decode-failed");
  }
}

function decodePart1({ codestream, precision }: CodestreamInfo): DecodedFrame {
  const bytesPerSample = precision <= 8 ? 1 : 2;
  return { data: decodeJpeg2000(codestream, bytesPerSample), bytesPerSample, order: "interleaved" };
}

async function decodeJpegLs({ codestream }: CodestreamInfo): Promise<DecodedFrame> {
  charls ??= loadCharls();
  const { JpegLSDecoder } = await charls;
  const decoder = new JpegLSDecoder();
  decoder.getEncodedBuffer(codestream.length).set(codestream);
  decoder.decode();
  const { bitsPerSample, componentCount } = decoder.getFrameInfo();
  const isPlanar = componentCount > 1 && decoder.getInterleaveMode() === 0;
  const decoded: DecodedFrame = {
    data: decoder.getDecodedBuffer().slice(),
    bytesPerSample: bitsPerSample <= 8 ? 1 : 2,
    order: isPlanar ? "planar" : "interleaved",
  };
  decoder.delete();
  return decoded;
}

async function decodeNative(
  encoding: Exclude<CompressedEncoding, "jpeg-ls" | "jpeg-2000">,
  info: CodestreamInfo,
): Promise<DecodedFrame> {
  // The codestream decides: 8 bits may lie in an image of 16 allocated ones, and the sign in the DICOM header is not its own.
  const bytesPerSample = encoding === "ht-jpeg-2000" && info.signed ? 2 : info.precision <= 8 ? 1 : 2;
  native ??= loadNative();
  const { codecs, Context } = await native;
  const context = new Context({
    width: info.columns,
    height: info.rows,
    bitsAllocated: bytesPerSample * 8,
    bitsStored: info.precision,
    samplesPerPixel: info.components,
    pixelRepresentation: info.signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: info.components === 1 ? "MONOCHROME2" : "RGB",
    encodedBuffer: info.codestream,
  });
  const decoded = {
    jpeg: () => codecs.decodeJpeg(context, { convertColorspaceToRgb: false }),
    "ht-jpeg-2000": () => codecs.decodeHtJpeg2000(context),
    "jpeg-xl": () => codecs.decodeJpegXl(context),
  }[encoding]();
  const data = decoded.getDecodedBuffer() ?? new Uint8Array(0);
  if (encoding === "jpeg-xl") unscale(data, bytesPerSample, info.precision);
  return { data, bytesPerSample, order: sampleOrder(encoding, info) };
}

/**
 * dcmjs-codecs takes rows from OpenJPH as if components alternated. Without a component transform OpenJPH gives all rows
 * of the first component, then those of the second, so that they end up in each other's places.
 */
function sampleOrder(encoding: CompressedEncoding, { components, codestream }: CodestreamInfo): SampleOrder {
  return encoding === "ht-jpeg-2000" && components > 1 && !hasComponentTransform(codestream)
    ? "planes as rows"
    : "interleaved";
}

/** Of the COD marker segment (ISO 15444-1 A.6.1). */
function hasComponentTransform(codestream: Uint8Array): boolean {
  const view = new DataView(codestream.buffer, codestream.byteOffset, codestream.byteLength);
  for (let at = 2; at + 9 <= codestream.length; at += 2 + view.getUint16(at + 2))
    if (view.getUint16(at) === 0xff52) return view.getUint8(at + 8) !== 0;
  return false;
}

/** libjxl stretches samples to the whole range of a byte or word; undone, that is exact. */
function unscale(data: Uint8Array, bytesPerSample: number, precision: number): void {
  if (precision === bytesPerSample * 8) return;
  const words = bytesPerSample === 1 ? data : new Uint16Array(data.buffer, data.byteOffset, data.length >> 1);
  const factor = (2 ** precision - 1) / (2 ** (8 * bytesPerSample) - 1);
  for (let i = 0; i < words.length; i++) words[i] = Math.round((words[i] ?? 0) * factor);
}

async function loadCharls(): Promise<Charls> {
  const load =
    require("@cornerstonejs/codec-charls/decodewasmjs") as typeof import("@cornerstonejs/codec-charls/decodewasmjs").default;
  const wasmBinary = readFileSync(require.resolve("@cornerstonejs/codec-charls/decodewasm"));
  return load({ wasmBinary, print: silent, printErr: silent });
}

async function loadNative(): Promise<{ codecs: NativeCodecs; Context: Context }> {
  const { NativeCodecs: codecs, Context, log } = require("dcmjs-codecs") as typeof import("dcmjs-codecs");
  log.setLevel("silent");
  await codecs.initializeAsync();
  return { codecs, Context };
}
