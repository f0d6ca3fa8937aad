/** The keys that the cache holds, as one sorted block of memory that all reading threads share. */
import { KEY_DIGITS } from "../dataset/keys.ts";

const KEY_BYTES = KEY_DIGITS / 2;

export function packKeys(keys: Iterable<string>): SharedArrayBuffer {
  const sorted = [...keys].sort();
  const shared = new SharedArrayBuffer(sorted.length * KEY_BYTES);
  const bytes = Buffer.from(shared);
  for (const [i, key] of sorted.entries()) bytes.write(key, i * KEY_BYTES, "hex");
  return shared;
}

/** Binary search. */
export function hasKey(shared: SharedArrayBuffer, key: string): boolean {
  const bytes = Buffer.from(shared);
  const wanted = Buffer.from(key, "hex");
  let low = 0;
  let high = bytes.length / KEY_BYTES;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = bytes.compare(wanted, 0, KEY_BYTES, middle * KEY_BYTES, (middle + 1) * KEY_BYTES);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
