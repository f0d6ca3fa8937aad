/** How many steps an element may use. */

export type BodyBits = 16 | 32;
export const TAIL_BITS = 32;

/** Of an element of the update. */
export function bodyBitsOf({ link }: { readonly link: "wide" | "narrow" }): BodyBits {
  return link === "wide" ? 32 : 16;
}

/** Q: steps on either side of zero that one site may use, so that the sum of all cannot wrap (layout.ts). */
export function levelsOf(bits: number, sites: number): number {
  return Math.floor((2 ** (bits - 1) - 1) / sites);
}
