/** IEEE 754 binary16, which JavaScript on Node 20 has no array of. */

/** Beyond half way to 2^16 numbers round to infinity. */
const OVERFLOW = 65520;
const SMALLEST_NORMAL = 2 ** -14;

/** The sixteen bits of the nearest half-precision number, ties to even. */
export function halfBits(number: number): number {
  if (Number.isNaN(number)) return 0x7e00;
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (size >= OVERFLOW) return sign | 0x7c00;
  if (size < SMALLEST_NORMAL) return sign | toEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  // The logarithm is rounded too.
  if (size < 2 ** exponent) exponent--;
  else if (size >= 2 ** (exponent + 1)) exponent++;
  // A fraction that rounds up to 1024 carries into the exponent.
  return sign | (((exponent + 15) << 10) + toEven((size / 2 ** exponent - 1) * 1024));
}

export function fromHalfBits(bits: number): number {
  const sign = bits >>> 15 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest number that half precision holds. */
export const roundToHalf = (number: number): number => fromHalfBits(halfBits(number));

function toEven(number: number): number {
  const rounded = Math.round(number);
  return number % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}
