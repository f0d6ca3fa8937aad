/**
 * What is in the masked vector and in which units. All sites and the coordinator derive it from the plan, and its hash
 * is in the context: a site with other ranges takes part in another attempt.
 *
 *     body   tensors in manifest order, `bodyBits` per element, filled up with zeros to a multiple of 16 bytes
 *     tail   32 bits each: examples, clipped elements, the extras, four check words
 *
 * All elements are little-endian integers modulo 2^bits, read as signed once they are summed.
 *
 * No sum can wrap. Let n = sites, Q = floor((2^(bits-1) - 1) / n). Each site's element x satisfies |x| <= Q, because
 * encoding clamps the rounded integer to [-Q, Q] (reals) or [0, most] with most <= Q (counts). For any m <= n sites,
 * |x_1 + ... + x_m| <= m * Q <= n * Q <= 2^(bits-1) - 1, which two's complement of `bits` bits represents exactly, and
 * masks cancel modulo 2^bits. So the unmasked element is the integer sum itself, not merely congruent to it.
 */
import { canonicalJson, sha256 } from "../canonical.ts";
import type { Sha256 } from "../ids.ts";
import type { Extra, TensorRange, VectorLayout } from "./layout-schema.ts";
import { bodyBitsOf, levelsOf, TAIL_BITS, type BodyBits } from "./levels.ts";

export type { Extra, TensorRange, VectorLayout };

/** The cipher's block: every block of the vector may begin at a multiple of it. */
export const ALIGNMENT_BYTES = 16;
export const CHECK_WORDS = 4;
/** Before the extras: examples, clipped. */
const LEADING_WORDS = 2;

export function layoutHash(layout: VectorLayout): Sha256 {
  return sha256(
    canonicalJson({
      ...layout,
      tensors: layout.tensors.map((tensor) => ({ ...tensor })),
      extras: layout.extras.map((extra) => ({ ...extra })),
    }),
  );
}

/** Where things are; follows from the layout alone. */
export interface Geometry {
  readonly bodyBits: BodyBits;
  /** Elements of the update. */
  readonly bodyLength: number;
  /** With the filling. */
  readonly bodyBytes: number;
  readonly tailWords: number;
  readonly totalBytes: number;
  readonly bodyLevels: number;
  readonly tailLevels: number;
  /** Most clipped elements that one site can count. */
  readonly clippedMost: number;
}

export function geometryOf(layout: VectorLayout): Geometry {
  const bodyBits = bodyBitsOf(layout);
  const bodyLength = sumOfLengths(layout.tensors);
  const bodyBytes = Math.ceil((bodyLength * bodyBits) / 8 / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const extraWords = sumOfLengths(layout.extras);
  const tailWords = LEADING_WORDS + extraWords + CHECK_WORDS;
  const tailLevels = levelsOf(TAIL_BITS, layout.sites);
  return {
    bodyBits,
    bodyLength,
    bodyBytes,
    tailWords,
    totalBytes: bodyBytes + 4 * tailWords,
    bodyLevels: levelsOf(bodyBits, layout.sites),
    tailLevels,
    clippedMost: Math.min(tailLevels, bodyLength + extraWords),
  };
}

/** The tail's fields in order, each with the index of its first word. */
export function tailFields(
  layout: VectorLayout,
): readonly { readonly extra: Extra; readonly start: number }[] {
  let next = LEADING_WORDS;
  return layout.extras.map((extra) => {
    const start = next;
    next += extra.length;
    return { extra, start };
  });
}

const sumOfLengths = (fields: readonly { readonly length: number }[]): number =>
  fields.reduce((sum, field) => sum + field.length, 0);
