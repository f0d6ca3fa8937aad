/** Numbers in a feature, by the encoder's size: what both sides must know of a model to add features up. */
import type { Plan } from "./plan-schema.ts";

export const ENCODER_WIDTHS = {
  nano: 128,
  tiny: 192,
  small: 384,
  base: 768,
} as const satisfies Record<Plan["model"]["size"], number>;
