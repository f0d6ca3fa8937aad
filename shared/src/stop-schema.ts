/** When a federation ends before its last round, as its plan says it. See docs/strategies.md. */
import { z } from "zod";

export const stopSchema = z.strictObject({
  /** After so many tried models in a row that were no better the federation ends, with the best one. */
  patience: z.int().min(1).max(1000).default(5),
  /** By which share of the best held-out loss so far a model must be better to count as better; 0: by anything. */
  minImprovement: z.number().min(0).max(0.5).default(0.01),
});
export type StopRule = Readonly<z.infer<typeof stopSchema>>;
