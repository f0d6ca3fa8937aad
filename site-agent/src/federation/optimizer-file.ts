/**
 * AdamW's moments on disk, tied to the round after which they stood:
 *
 *     0   4  length H of the header, little-endian
 *     4   H  header as JSON: plan, round, attempt, step, elements, SHA-256 of these and of what follows
 *   4+H      first moment, then second moment, float32 little-endian
 *
 * They never leave the site. Damaged moments count as none: training goes on with fresh ones.
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
  sha256: sha256Schema,
});

/** Which training the moments come from. */
export type MomentsOrigin = Pick<z.infer<typeof headerSchema>, "planHash" | "round" | "attempt">;
export type KeptMoments = MomentsOrigin & { readonly state: OptimizerState };

/** The file's parts, in order. */
export function encodeMoments(origin: MomentsOrigin, state: OptimizerState): Uint8Array[] {
  const moments = [bytesOf(state.firstMoment), bytesOf(state.secondMoment)];
  const { planHash, round, attempt } = origin;
  const fields = { planHash, round, attempt, step: state.step, elements: state.firstMoment.length };
  const header = Buffer.from(canonicalJson({ ...fields, sha256: sha256(canonicalJson(fields), ...moments) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return [length, header, ...moments];
}

/** Null if the bytes are not whole. */
export function decodeMoments(bytes: Uint8Array): KeptMoments | null {
  if (bytes.length < 4) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 4 + view.readUInt32LE(0);
  const header = headerSchema.safeParse(jsonOrNull(view.toString("utf8", 4, start)));
  if (!header.success) return null;
  const { sha256: expected, ...fields } = header.data;
  const { planHash, round, attempt, step, elements } = fields;
  const body = view.subarray(start);
  if (body.length !== 8 * elements || sha256(canonicalJson(fields), body) !== expected) return null;
  return {
    planHash,
    round,
    attempt,
    state: {
      step,
      firstMoment: floatsOf(body.subarray(0, 4 * elements)),
      secondMoment: floatsOf(body.subarray(4 * elements)),
    },
  };
}
