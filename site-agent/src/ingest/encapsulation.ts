/** Encapsulated pixel data (PS3.5 annex A.4): an offset table, then fragments, then a delimiter. */
import { ConsiliumError } from "@consilium/shared/errors";

const ITEM = 0xe000_fffe;
const DELIMITER = 0xe0dd_fffe;

/**
 * The one frame of a single-frame image: all fragments joined. The offset table is not needed for that.
 * @param offset of the first item, the offset table
 * @throws dicom.truncated if the data ends early, dicom.decode-failed if it is not a sequence of items
 */
export function joinFragments(bytes: Uint8Array, offset: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fragments: Uint8Array[] = [];
  let at = offset;
  let isOffsetTable = true;
  for (;;) {
    // Some writers leave the last delimiter out; what was cut within a fragment is found below.
    if (at === bytes.length && fragments.length > 0) break;
    if (at + 8 > bytes.length) throw new ConsiliumError("dicom.truncated");
    const tag = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    at += 8;
    if (tag === DELIMITER) break;
    if (tag !== ITEM || length === 0xffff_ffff) throw new ConsiliumError("dicom.decode-failed");
    if (at + length > bytes.length) throw new ConsiliumError("dicom.truncated");
    if (!isOffsetTable) fragments.push(bytes.subarray(at, at + length));
    isOffsetTable = false;
    at += length;
  }
  const [first] = fragments;
  if (first === undefined) throw new ConsiliumError("dicom.no-pixels");
  return fragments.length === 1 ? first : Buffer.concat(fragments);
}
