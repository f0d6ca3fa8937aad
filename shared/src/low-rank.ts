/**
 * Low-rank updates (Hu et al. 2022, LoRA): the matrices W [inputs, outputs] of the encoder's blocks stay as a round's model has
 * them, and sites train B [rank, outputs] in W + A B. A [inputs, rank] is drawn, the same at every site, and never trained, as in
 * FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): what is averaged is linear in B, so that A times the average of all B is the average of
 * all A B, and a sum of masked B says all that the sum of masked matrices would.
 *
 * Each round begins with B = 0 and ends with A B added to W: a checkpoint is always a whole model, and only updates are small. A is the
 * same in all rounds, so that moments and the strategy's state, which are of B, mean the same in each.
 */
import { createHash } from "node:crypto";
import type { Plan } from "./plan-schema.ts";

/** Of a plan. */
export type LowRankPlan = NonNullable<Plan["training"]["lowRank"]>;

/** Whether a weight of the model is one of those matrices: the encoder's, not a decoder's or a teacher's. */
export const isLowRank = (name: string): boolean =>
  /^blocks\.\d+\.(?:attn\.(?:qkv|proj)|mlp\.fc[12])\.weight$/.test(name);

/** Of B, in updates. */
export const factorName = (weight: string): string => `${weight}.factor`;

/** From what A follows. */
export interface Draw extends LowRankPlan {
  /** Of the plan. */
  readonly seed: number;
}

export const drawOf = ({ seed, training }: Pick<Plan, "seed" | "training">): Draw | null =>
  training.lowRank === undefined ? null : { seed, ...training.lowRank };

/**
 * A of one matrix, [inputs, rank]: signs, each with even odds (Achlioptas 2003), times alpha / sqrt(rank), with which a step of
 * AdamW moves W by as much whatever the rank (Kalajdzievski 2023, arXiv 2312.03732). Bits of SHA-256, so that all machines draw alike.
 */
export function drawFactor({ seed, rank, alpha }: Draw, weight: string, inputs: number): Float32Array {
  const size = alpha / Math.sqrt(rank);
  const values = new Float32Array(inputs * rank);
  for (let block = 0, at = 0; at < values.length; block++) {
    const bits = createHash("sha256").update(`${weight} ${seed} ${block}`).digest();
    for (let i = 0; i < 8 * bits.length && at < values.length; i++, at++) {
      values[at] = ((bits[i >> 3] ?? 0) >> (i & 7)) & 1 ? size : -size;
    }
  }
  return values;
}

/**
 * Adds A B to a piece of W in place: in float64, rounded to float32 once.
 * @param values the elements of W, row by row, from `start` on
 * @param drawn A, [inputs, rank]
 * @param factor B, [rank, outputs]
 */
export function addProduct(
  values: Float32Array,
  start: number,
  {
    drawn,
    factor,
    rank,
  }: { readonly drawn: Float32Array; readonly factor: Float32Array; readonly rank: number },
): void {
  const outputs = factor.length / rank;
  for (let done = 0; done < values.length;) {
    const row = Math.floor((start + done) / outputs);
    const column = (start + done) % outputs;
    const end = Math.min(values.length, done + outputs - column);
    for (let i = done; i < end; i++) {
      let sum = values[i] ?? NaN;
      for (let k = 0; k < rank; k++) {
        sum += (drawn[row * rank + k] ?? NaN) * (factor[k * outputs + column + i - done] ?? NaN);
      }
      values[i] = sum;
    }
    done = end;
  }
}
