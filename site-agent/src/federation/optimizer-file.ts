/**
 * What training leaves at the site, on disk, tied to the round after which it stood:
 *
 *     0   4  length H of the header, little-endian
 *     4   H  header as JSON: plan, round, attempt, step, elements, kept elements where there are any, SHA-256 of these and of what follows
 *   4+H      AdamW's first moment, then its second moment, then the weights that the task keeps here, float32 little-endian
 *
 * It never leaves the site. What is damaged counts as none: training goes on with fresh moments, and with weights as they began.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { attemptSchema, roundSchema, sha256Schema } from "@consilium/shared/ids";
import { jsonOrNull } from "@consilium/shared/json";
import { bytesOf, floatsOf } from "@consilium/shared/vector";
import { z } from "zod";
import type { OptimizerState } from "../engine/types.ts";

const headerSchema = z.strictObject({
  planHash: sha256Schema,
  round: roundSchema,
  attempt: attemptSchema,
  step: z.int().min(0),
  elements: z.int().min(0),
  kept: z.int().min(1).optional(),
  sha256: sha256Schema,
});

/** What a training leaves for the next one. */
export interface TrainingState {
  /** Null where the plan resets them each round. */
  readonly moments: OptimizerState | null;
  /** Weights that the task keeps at the site; null where it keeps none. */
  readonly kept: Float32Array | null;
}

/** Which training it comes from. */
export type StateOrigin = Pick<z.infer<typeof headerSchema>, "planHash" | "round" | "attempt">;
export type KeptState = StateOrigin & { readonly state: TrainingState };

const NO_MOMENTS: OptimizerState = {
  step: 0,
  firstMoment: new Float32Array(),
  secondMoment: new Float32Array(),
};

/** The file's parts, in order; null where there is nothing to keep. */
export function encodeState(origin: StateOrigin, { moments, kept }: TrainingState): Uint8Array[] | null {
  if (moments === null && (kept === null || kept.length === 0)) return null;
  const { step, firstMoment, secondMoment } = moments ?? NO_MOMENTS;
  const arrays = [firstMoment, secondMoment, kept ?? new Float32Array()].map(bytesOf);
  const { planHash, round, attempt } = origin;
  const fields = {
    planHash,
    round,
    attempt,
    step,
    elements: firstMoment.length,
    ...(kept !== null && kept.length > 0 && { kept: kept.length }),
  };
  const header = Buffer.from(canonicalJson({ ...fields, sha256: sha256(canonicalJson(fields), ...arrays) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return [length, header, ...arrays];
}

/** Null if the bytes are not whole. */
export function decodeState(bytes: Uint8Array): KeptState | null {
  if (bytes.length < 4) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 4 + view.readUInt32LE(0);
  const header = headerSchema.safeParse(jsonOrNull(view.toString("utf8", 4, start)));
  if (!header.success) return null;
  const { sha256: expected, ...fields } = header.data;
  const { planHash, round, attempt, step, elements, kept = 0 } = fields;
  const body = view.subarray(start);
  const isWhole = body.length === 8 * elements + 4 * kept && sha256(canonicalJson(fields), body) === expected;
  if (!isWhole) return null;
  const floats = (from: number, count: number): Float32Array =>
    floatsOf(body.subarray(4 * from, 4 * (from + count)));
  const moments = { step, firstMoment: floats(0, elements), secondMoment: floats(elements, elements) };
  return {
    planHash,
    round,
    attempt,
    state: {
      // No step was ever taken that left no moments.
      moments: step === 0 && elements === 0 ? null : moments,
      kept: kept === 0 ? null : floats(2 * elements, kept),
    },
  };
}
