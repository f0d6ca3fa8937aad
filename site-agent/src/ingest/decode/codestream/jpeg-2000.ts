/** Headers of JPEG 2000 and HTJ2K codestreams (ISO 15444-1 annex A), bare or within JP2 boxes. */
import { ConsiliumError } from "@consilium/shared/errors";
import { findBox } from "./boxes.ts";
import type { CodestreamInfo } from "./info.ts";

const SOC_SIZ = 0xff4f_ff51;
const SOT = 0xff90;
/** Bytes from the SIZ marker's length on, with one component. */
const LEAST_SIZ = 41;

/**
 * @throws dicom.decode-failed, dicom.truncated if a tile-part goes beyond the end, dicom.unsupported where components
 * differ in size, depth or sign
 */
export function readJpeg2000Info(frame: Uint8Array): CodestreamInfo {
  const codestream = frame[0] === 0xff ? frame : findBox(frame, ["jp2c"]);
  if (codestream === null || codestream.length < 4 + LEAST_SIZ)
    throw new ConsiliumError("dicom.decode-failed");
  const view = new DataView(codestream.buffer, codestream.byteOffset, codestream.byteLength);
  if (view.getUint32(0) !== SOC_SIZ) throw new ConsiliumError("dicom.decode-failed");
  const size = 8;
  const components = view.getUint16(size + 32);
  const described = codestream.subarray(size + 34, size + 34 + 3 * components);
  const [depth = 0] = described;
  for (let i = 0; i < described.length; i += 3)
    if (described[i] !== depth || described[i + 1] !== 1 || described[i + 2] !== 1)
      throw new ConsiliumError("dicom.unsupported", { detail: "(JPEG 2000 components that differ)" });
  assertWhole(view);
  return {
    columns: view.getUint32(size) - view.getUint32(size + 8),
    rows: view.getUint32(size + 4) - view.getUint32(size + 12),
    components,
    precision: (depth & 0x7f) + 1,
    signed: (depth & 0x80) !== 0,
    colour: null,
    codestream,
  };
}

/** Decoders fill what a cut codestream lacks with grey; its tile-parts say how long they are (A.4.2). */
function assertWhole(view: DataView): void {
  let at = 2;
  while (at + 4 <= view.byteLength && view.getUint16(at) !== SOT) {
    if (view.getUint8(at) !== 0xff) throw new ConsiliumError("dicom.decode-failed");
    at += 2 + view.getUint16(at + 2);
  }
  if (at + 12 > view.byteLength) throw new ConsiliumError("dicom.truncated");
  while (at + 12 <= view.byteLength && view.getUint16(at) === SOT) {
    const length = view.getUint32(at + 6);
    // 0: to the end of the codestream.
    if (length === 0) return;
    if (length < 14) throw new ConsiliumError("dicom.decode-failed");
    if (at + length > view.byteLength) throw new ConsiliumError("dicom.truncated");
    at += length;
  }
}
