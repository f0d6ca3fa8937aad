/**
 * How far an unfinished training of a round has come, on disk, so that a killed agent goes on from there:
 *
 *     0   4  length H of the header, little-endian
 *     4   H  header as JSON: version, key, losses so far, milliseconds, optimiser step, elements, SHA-256 of the rest
 *   4+H      weights, first moment, second moment, float32 little-endian
 *
 * The key names everything that decides what a step computes. A file of another key, or a damaged one, counts as none.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import type { Sha256 } from "@consilium/shared/ids";
import { sha256Schema } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import { jsonOrNull } from "@consilium/shared/json";
import { bytesOf, floatsOf } from "@consilium/shared/vector";
import { z } from "zod";
import type { TrainingImages } from "../dataset/training-images.ts";
import type { OptimizerState } from "../engine/types.ts";
import { readIfPresent, writeFileAtomic } from "../home/files.ts";
import type { LocalRoundRequest } from "./types.ts";

const VERSION = 1;
const ARRAYS = 3;

const headerSchema = z.strictObject({
  version: z.literal(VERSION),
  key: sha256Schema,
  losses: z.array(z.number()).min(1),
  elapsedMs: z.number().min(0),
  optimizerStep: z.int().min(0),
  elements: z.int().min(0),
  sha256: sha256Schema,
});

/** After a step of an unfinished training. */
export interface TrainingPoint {
  /** Of every step so far. */
  readonly losses: readonly number[];
  readonly elapsedMs: number;
  readonly weights: Float32Array;
  readonly optimizerState: OptimizerState;
}

export interface Resume {
  read(): Promise<TrainingPoint | null>;
  write(point: TrainingPoint): Promise<void>;
  /** Not more often than this. */
  readonly everyMs: number;
}

/** At most so much of a round is done again. */
const EVERY_MS = 60_000;

export function resumeFile(file: string, key: Sha256, everyMs = EVERY_MS): Resume {
  return {
    everyMs,
    async read() {
      const bytes = await readIfPresent(file);
      return bytes === null ? null : decode(bytes, key);
    },
    write: (point) => writeFileAtomic(file, ...encode(point, key)),
  };
}

/** The same training computes the same steps. */
export function resumeKey(
  request: Pick<LocalRoundRequest, "plan" | "round" | "seed" | "base" | "optimizerState" | "kept">,
  { records, answersKey }: Pick<TrainingImages, "records" | "answersKey">,
): Sha256 {
  const { plan, round, seed, base, optimizerState, kept = null } = request;
  const images = sha256(canonicalJson(records.map(({ image }) => image)));
  const moments = optimizerState === null ? null : sha256(bytesOf(optimizerState.firstMoment));
  const labels = answersKey === undefined ? {} : { labels: answersKey };
  return sha256(
    canonicalJson({
      plan: planHash(plan),
      round,
      seed,
      base: sha256(bytesOf(base)),
      moments,
      images,
      ...labels,
      ...(kept === null ? {} : { kept: sha256(bytesOf(kept)) }),
    }),
  );
}

function encode({ losses, elapsedMs, weights, optimizerState }: TrainingPoint, key: Sha256): Uint8Array[] {
  const { step: optimizerStep, firstMoment, secondMoment } = optimizerState;
  const arrays = [weights, firstMoment, secondMoment].map(bytesOf);
  const fields = {
    version: VERSION,
    key,
    losses: [...losses],
    elapsedMs,
    optimizerStep,
    elements: weights.length,
  };
  const header = Buffer.from(canonicalJson({ ...fields, sha256: sha256(canonicalJson(fields), ...arrays) }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return [length, header, ...arrays];
}

function decode(bytes: Uint8Array, key: Sha256): TrainingPoint | null {
  if (bytes.length < 4) return null;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 4 + view.readUInt32LE(0);
  const header = headerSchema.safeParse(jsonOrNull(view.toString("utf8", 4, start)));
  if (!header.success || header.data.key !== key) return null;
  const { sha256: expected, ...fields } = header.data;
  const { losses, elapsedMs, optimizerStep: step, elements } = fields;
  const body = view.subarray(start);
  if (body.length !== 4 * ARRAYS * elements || sha256(canonicalJson(fields), body) !== expected) return null;
  const array = (which: number): Float32Array =>
    floatsOf(body.subarray(4 * elements * which, 4 * elements * (which + 1)));
  const optimizerState = { step, firstMoment: array(1), secondMoment: array(2) };
  return { losses, elapsedMs, weights: array(0), optimizerState };
}
