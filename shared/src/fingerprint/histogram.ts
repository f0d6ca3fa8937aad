/** From counts to a fingerprint, and from its bytes back. */
import { ConsiliumError } from "../errors.ts";
import { binsOf, byGroup, FINGERPRINT_LENGTH, GROUPS, SHARES, type GroupName } from "./layout.ts";

/** How often each bin of each group occurs; what a site does not know is not counted. */
export type Counts = Readonly<Record<GroupName, Float64Array>>;

export function emptyCounts(): Counts {
  return byGroup((name) => new Float64Array(GROUPS.find((group) => group.name === name)?.bins.length ?? 0));
}

/** Each group in SHARES, laid out one after the other. */
export function fingerprintFrom(counts: Counts): Uint32Array {
  const vector = new Uint32Array(FINGERPRINT_LENGTH);
  for (const group of GROUPS) binsOf(vector, group).set(sharesOf(counts[group.name]));
  return vector;
}

/** Whole numbers that sum to SHARES, in proportion; the largest remainders are rounded up. All zeros stay zeros. */
function sharesOf(counts: Float64Array): Uint32Array {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return new Uint32Array(counts.length);
  const exact = Array.from(counts, (count) => (count / total) * SHARES);
  const shares = Uint32Array.from(exact, Math.floor);
  const missing = SHARES - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = exact
    .map((share, bin) => ({ bin, remainder: share - Math.floor(share) }))
    .sort((a, b) => b.remainder - a.remainder || a.bin - b.bin);
  for (const { bin } of byRemainder.slice(0, missing)) shares[bin] = (shares[bin] ?? 0) + 1;
  return shares;
}

/** Little-endian, whatever the machine. */
export function encodeFingerprint(vector: Uint32Array): Uint8Array {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, share] of vector.entries()) bytes.writeUInt32LE(share, i * 4);
  return new Uint8Array(bytes);
}

/** @throws frame.wrong-length; protocol.invalid-message unless every group is empty or sums to SHARES */
export function decodeFingerprint(bytes: Uint8Array): Uint32Array {
  if (bytes.length !== FINGERPRINT_LENGTH * 4) throw new ConsiliumError("frame.wrong-length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const vector = Uint32Array.from({ length: FINGERPRINT_LENGTH }, (_, i) => view.getUint32(i * 4, true));
  for (const group of GROUPS) {
    const sum = binsOf(vector, group).reduce((total, share) => total + share, 0);
    if (sum !== 0 && sum !== SHARES)
      throw new ConsiliumError("protocol.invalid-message", { culprits: [group.name] });
  }
  return vector;
}

/** Element by element: the fingerprint of all together. */
export function sumOfFingerprints(vectors: readonly Uint32Array[]): Uint32Array {
  const sum = new Uint32Array(FINGERPRINT_LENGTH);
  for (const vector of vectors)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (vector[i] ?? 0);
  return sum;
}

/** What is left of a sum without one of its fingerprints. */
export function othersIn(total: Uint32Array, own: Uint32Array): Uint32Array {
  return total.map((share, bin) => Math.max(0, share - (own[bin] ?? 0)));
}
