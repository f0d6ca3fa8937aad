/** Boxes of the ISO base media kind, which a few writers put around JPEG 2000 and JPEG XL codestreams. */

/** The content of the first box of one of these types, or null. */
export function findBox(file: Uint8Array, types: readonly string[]): Uint8Array | null {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + 8 <= file.length;) {
    const short = view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const isLong = short === 1 && at + 16 <= file.length;
    const length = isLong ? Number(view.getBigUint64(at + 8)) : short === 0 ? file.length - at : short;
    const header = isLong ? 16 : 8;
    if (length < header) return null;
    if (types.includes(type)) return file.subarray(at + header, Math.min(file.length, at + length));
    at += length;
  }
  return null;
}
