/** Float32 values out of a stream of bytes that is cut anywhere. */
import { ConsiliumError } from "@consilium/shared/errors";

const FLOAT_BYTES = 4;

export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Splits a stream, whose pieces need be good no longer than until the next is asked for, into its first `headerBytes` bytes
 * and little-endian float32 values after them, which are good as long.
 * @throws frame.wrong-length if the stream ends inside the header or inside a value
 */
export async function* headerAndFloats(
  source: ByteSource,
  headerBytes: number,
): AsyncGenerator<{ readonly header: Uint8Array } | { readonly values: Float32Array }, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  let headerSeen = false;
  for await (const piece of source) {
    let bytes: Uint8Array = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    if (!headerSeen) {
      if (bytes.length < headerBytes) {
        rest = new Uint8Array(bytes);
        continue;
      }
      yield { header: bytes.subarray(0, headerBytes) };
      headerSeen = true;
      bytes = bytes.subarray(headerBytes);
    }
    const whole = bytes.length - (bytes.length % FLOAT_BYTES);
    if (whole > 0) yield { values: toFloats(bytes.subarray(0, whole)) };
    rest = new Uint8Array(bytes.subarray(whole));
  }
  if (!headerSeen || rest.length > 0) throw new ConsiliumError("frame.wrong-length");
}

/** Copies where the source is not aligned to four bytes; not by `slice`, which shares where a Buffer comes in. */
function toFloats(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = bytes;
  if (byteOffset % FLOAT_BYTES === 0) return new Float32Array(buffer, byteOffset, length / FLOAT_BYTES);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Float32 values as bytes; shares memory. */
export function toBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
