/**
 * What a compressed frame says about itself, read before a decoder sees it: a decoder given another size than it expects
 * allocates without bound or writes a picture that is not the one described.
 */
import type { Encoding } from "../../header/syntax.ts";
import type { CodestreamInfo } from "./info.ts";
import { readJpeg2000Info } from "./jpeg-2000.ts";
import { readJpegXlInfo } from "./jpeg-xl.ts";
import { readJpegInfo, readJpegLsInfo } from "./jpeg.ts";

export type CompressedEncoding = Extract<
  Encoding,
  "jpeg" | "jpeg-ls" | "jpeg-2000" | "ht-jpeg-2000" | "jpeg-xl"
>;

/** @throws dicom.decode-failed, dicom.truncated, dicom.unsupported */
export function readCodestreamInfo(encoding: CompressedEncoding, frame: Uint8Array): CodestreamInfo {
  switch (encoding) {
    case "jpeg":
      return readJpegInfo(frame);
    case "jpeg-ls":
      return readJpegLsInfo(frame);
    case "jpeg-xl":
      return readJpegXlInfo(frame);
    case "jpeg-2000":
    case "ht-jpeg-2000":
      return readJpeg2000Info(frame);
  }
}

/** Whether a fragment is the first of a frame, as far as its first bytes tell. */
export function startsCodestream(fragment: Uint8Array): boolean {
  const view = new DataView(fragment.buffer, fragment.byteOffset, fragment.byteLength);
  if (fragment.length < 12) return false;
  const first = view.getUint32(0);
  return (
    first >>> 8 === 0xffd8ff || // JPEG and JPEG-LS: SOI and a marker
    first === 0xff4f_ff51 || // JPEG 2000: SOC, SIZ
    first >>> 16 === 0xff0a || // JPEG XL
    (first === 12 && ["jP  ", "JXL "].some((type) => view.getUint32(4) === Buffer.from(type).readUInt32BE()))
  );
}
