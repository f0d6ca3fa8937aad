/** Numbers in a feature, by the encoder's size: what both sides must know of a model without building it. */

type Size = "nano" | "tiny" | "small" | "base";

export const ENCODER_WIDTHS = {
  nano: 128,
  tiny: 192,
  small: 384,
  base: 768,
} as const satisfies Record<Size, number>;

/** Blocks of it. */
export const ENCODER_DEPTHS = {
  nano: 6,
  tiny: 12,
  small: 12,
  base: 12,
} as const satisfies Record<Size, number>;
