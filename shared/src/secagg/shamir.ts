/**
 * Shamir's secret sharing (CACM 22(11), 1979), byte by byte over GF(2^8) with AES' polynomial. Holder i of n has the
 * value at x = i + 1. No table and no branch depends on a secret.
 *
 * Fewer than `threshold` shares, or wrong ones, combine to a wrong secret without a sign of it: whoever combines has a
 * commitment to compare with.
 */
import type { RandomBytes } from "../crypto/identity.ts";

const MAX_HOLDERS = 255;

export interface Point {
  /** 1 to 255. */
  readonly x: number;
  readonly share: Uint8Array;
}

/** One share for each holder, as long as the secret. @throws RangeError unless 1 <= threshold <= holders <= 255 */
export function splitSecret(
  secret: Uint8Array,
  { holders, threshold }: { readonly holders: number; readonly threshold: number },
  random: RandomBytes,
): Uint8Array[] {
  if (threshold < 1 || threshold > holders || holders > MAX_HOLDERS) {
    throw new RangeError(`${threshold} of ${holders} shares`);
  }
  // Highest power first; the secret is the constant term.
  const coefficients = Array.from({ length: threshold - 1 }, () => random(secret.length));
  const shares = Array.from({ length: holders }, (_, holder) => {
    const share = new Uint8Array(secret.length);
    for (const coefficient of [...coefficients, secret]) hornerStep(share, holder + 1, coefficient);
    return share;
  });
  for (const coefficient of coefficients) coefficient.fill(0);
  return shares;
}

/** The polynomial of lowest degree through the points, at 0. @throws RangeError if two points share their x */
export function combineShares(points: readonly Point[]): Uint8Array {
  const length = points[0]?.share.length ?? 0;
  if (new Set(points.map(({ x }) => x)).size !== points.length) throw new RangeError("a holder occurs twice");
  const secret = new Uint8Array(length);
  const all = points.map(({ x }) => x);
  const product = all.reduce(multiply, 1);
  for (const { x, share } of points) {
    const weight = lagrangeAtZero(x, all, product);
    for (let i = 0; i < length; i++) secret[i] = (secret[i] ?? 0) ^ multiply(weight, share[i] ?? 0);
  }
  return secret;
}

/** value <- value * x + coefficient */
function hornerStep(value: Uint8Array, x: number, coefficient: Uint8Array): void {
  for (let i = 0; i < value.length; i++) value[i] = multiply(x, value[i] ?? 0) ^ (coefficient[i] ?? 0);
}

/**
 * Product over the others of o / (o - x); subtraction is exclusive or.
 * @param product of all
 */
function lagrangeAtZero(x: number, all: readonly number[], product: number): number {
  let denominator = x;
  for (const other of all) if (other !== x) denominator = multiply(denominator, other ^ x);
  return multiply(product, inverse(denominator));
}

/** Russian peasants' multiplication modulo x^8 + x^4 + x^3 + x + 1, the same eight steps for all operands. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = a;
  for (let bit = 0; bit < 8; bit++) {
    product ^= shifted & -((b >> bit) & 1);
    shifted = (shifted << 1) ^ (0x11b & -(shifted >> 7));
  }
  return product;
}

/** a^254 (Fermat). Only public x values come here. */
function inverse(a: number): number {
  let [result, power] = [1, a];
  // 254 = 2 + 4 + ... + 128
  for (let i = 0; i < 7; i++) {
    power = multiply(power, power);
    result = multiply(result, power);
  }
  return result;
}
