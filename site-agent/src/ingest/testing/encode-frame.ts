/** Encoders for tests: one source image, many transfer syntaxes. */
import { createRequire } from "node:module";
import { deflateRawSync } from "node:zlib";
import type { FixtureImage } from "./synthetic-image.ts";

export type FixtureSyntax =
  | "implicit"
  | "explicit"
  | "big-endian"
  | "deflated"
  | "encapsulated-native"
  | "frame-deflate"
  | "rle"
  | "jpeg"
  | "jpeg-lossless"
  | "jpeg-ls"
  | "jpeg-ls-near"
  | "jpeg-2000"
  | "jpeg-2000-lossy"
  | "ht-jpeg-2000"
  | "jpeg-xl"
  | "jpeg-xl-lossy";

/** One frame as it lies in a fragment. With the encoders of dcmjs-codecs. */
export async function encodeFrame(image: FixtureImage, syntax: FixtureSyntax): Promise<Uint8Array> {
  if (syntax === "encapsulated-native") return image.data;
  if (syntax === "frame-deflate") return deflateRawSync(image.data);
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
      case "jpeg-xl":
        return NativeCodecs.encodeJpegXl(context, { lossy: false });
      case "jpeg-xl-lossy":
        return NativeCodecs.encodeJpegXl(context, { lossy: true });
      default:
        throw new RangeError(`${syntax} is not encapsulated`);
    }
  })();
  const frame = encoded.getEncodedBuffer();
  if (frame === undefined) throw new Error("the encoder gave nothing");
  return frame;
}
