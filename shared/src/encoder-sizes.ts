/** Widths and depths of encoders, by size: what both sides must know of a model without building it. */

type Size = "nano" | "tiny" | "small" | "base";

/** Numbers in a feature. */
export const ENCODER_WIDTHS = {
  nano: 128,
  tiny: 192,
  small: 384,
  base: 768,
} as const satisfies Record<Size, number>;

/** Blocks. */
export const ENCODER_DEPTHS = {
  nano: 6,
  tiny: 12,
  small: 12,
  base: 12,
} as const satisfies Record<Size, number>;
