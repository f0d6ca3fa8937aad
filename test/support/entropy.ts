/** Shannon entropy of the bytes' distribution, in bits a byte; 8 for noise. */
export function entropyPerByte(bytes: Buffer): number {
  const counts = new Float64Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  return counts.reduce(
    (sum, count) => (count === 0 ? sum : sum - (count / bytes.length) * Math.log2(count / bytes.length)),
    0,
  );
}
