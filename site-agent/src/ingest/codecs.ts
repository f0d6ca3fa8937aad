/**
 * The WebAssembly decoders. A decoder that throws may have trapped half-way, so it is dropped and made anew for the next
 * frame. What decoders throw (strings, numbers, text of the file) never leaves here.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ConsiliumError } from "@consilium/shared/errors";
import type { PixelFormat } from "./header.ts";
import type { Encoding } from "./syntax.ts";

/** Samples as a decoder gives them. */
export interface DecodedFrame {
  /** Little-endian samples of 1 or 2 bytes. */
  readonly data: Uint8Array;
  readonly bytesPerSample: number;
  /** Colour planes one after the other instead of pixel by pixel. */
  readonly planar: boolean;
}

type Charls = Awaited<ReturnType<(typeof import("@cornerstonejs/codec-charls/decodewasmjs"))["default"]>>;
type NativeCodecs = (typeof import("dcmjs-codecs"))["NativeCodecs"];
type Context = (typeof import("dcmjs-codecs"))["Context"];

const require = createRequire(import.meta.url);
const silent = (): void => undefined;

let charls: Promise<Charls> | null = null;
let native: Promise<{ codecs: NativeCodecs; Context: Context }> | null = null;

/**
 * Decodes one frame of an encapsulated image, without any colour conversion besides that of JPEG 2000's own
 * component transform.
 * @param precision bits of a sample as the codestream itself says, at most BitsAllocated
 * @throws dicom.decode-failed
 */
export async function decodeCompressed(
  encoding: Exclude<Encoding, "native" | "rle">,
  frame: Uint8Array,
  format: PixelFormat,
  precision: number,
): Promise<DecodedFrame> {
  try {
    return encoding === "jpeg-ls"
      ? await decodeJpegLs(frame)
      : await decodeNative(encoding, frame, format, precision);
  } catch {
    charls = null;
    native = null;
    throw new ConsiliumError("dicom.decode-failed");
  }
}

async function decodeJpegLs(frame: Uint8Array): Promise<DecodedFrame> {
  charls ??= loadCharls();
  const { JpegLSDecoder } = await charls;
  const decoder = new JpegLSDecoder();
  decoder.getEncodedBuffer(frame.length).set(frame);
  decoder.decode();
  const { bitsPerSample, componentCount } = decoder.getFrameInfo();
  const decoded = {
    data: decoder.getDecodedBuffer().slice(),
    bytesPerSample: bitsPerSample <= 8 ? 1 : 2,
    planar: componentCount > 1 && decoder.getInterleaveMode() === 0,
  };
  decoder.delete();
  return decoded;
}

async function decodeNative(
  encoding: "jpeg" | "jpeg-2000" | "ht-jpeg-2000",
  frame: Uint8Array,
  format: PixelFormat,
  precision: number,
): Promise<DecodedFrame> {
  // The codestream decides: 8 bits may lie in an image of 16 allocated ones.
  const bytesPerSample = Math.ceil(precision / 8);
  native ??= loadNative();
  const { codecs, Context } = await native;
  const context = new Context({
    width: format.columns,
    height: format.rows,
    bitsAllocated: bytesPerSample * 8,
    bitsStored: precision,
    samplesPerPixel: format.samples,
    pixelRepresentation: format.signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: format.photometric,
    encodedBuffer: frame,
  });
  const decoded =
    encoding === "jpeg"
      ? codecs.decodeJpeg(context, { convertColorspaceToRgb: false })
      : encoding === "jpeg-2000"
        ? codecs.decodeJpeg2000(context)
        : codecs.decodeHtJpeg2000(context);
  return {
    data: decoded.getDecodedBuffer() ?? new Uint8Array(0),
    bytesPerSample,
    planar: decoded.getPlanarConfiguration() === 1,
  };
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
