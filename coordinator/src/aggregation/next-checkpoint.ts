/** The next checkpoint out of its base and the mean update, and the state that the strategy goes on with. */
import { checkpointHeader } from "@consilium/shared/codec";
import { ConsiliumError } from "@consilium/shared/errors";
import { trainedPart, type TrainedPart, type TrainedTerms } from "@consilium/shared/trained-part";
import type { Sha256 } from "@consilium/shared/ids";
import type { Draw } from "@consilium/shared/low-rank";
import type { Manifest } from "@consilium/shared/manifest";
import type { StrategyPlan } from "@consilium/shared/strategy-schema";
import type { Blobs, StoredBlob } from "../blobs/blobs.ts";
import { OWN, readHashed } from "../blobs/hashed.ts";
import { checkpointValues, readCheckpointHead, type CheckpointHead } from "./checkpoint-stream.ts";
import { toBytes } from "./float-stream.ts";
import { movedValues, type Movement } from "./moved-values.ts";
import { writeAverage, type AverageJob } from "./running-average.ts";
import type { ServerSlice, ServerState, ServerStep } from "./server-step.ts";
import { strategyFor } from "./strategy.ts";

export interface NextJob {
  readonly base: Sha256;
  readonly strategy: StrategyPlan;
  /** What the strategy left behind when it made the base; null where it starts, or keeps nothing. */
  readonly serverState: Sha256 | null;
  /** Where the plan asks for an average, and there is a model before this one. */
  readonly average?: AverageJob | undefined;
  /** Of the plan, which says in which layout the mean is; all weights unless given. */
  readonly training?: TrainedTerms;
  /** Of the plan, where matrices are of low rank. */
  readonly draw?: Draw | null;
}

export interface NextModel extends StoredBlob {
  /** What the next round's strategy goes on with; null where it keeps nothing. */
  readonly serverState: Sha256 | null;
  /** The running average up to this model, which is the model itself where it is null. */
  readonly average: Sha256 | null;
}

/**
 * All are durable when the promise resolves, and none counts before a round is committed that names them.
 * @throws hash.mismatch, naming OWN, if an object of the coordinator has changed on its disk
 * @throws vector.not-finite if the model is; manifest.mismatch if the state is of another model or strategy
 */
export async function writeNext(
  job: NextJob,
  blobs: Blobs,
  head: CheckpointHead,
  mean: ServerSlice["mean"],
): Promise<NextModel> {
  const { step } = strategyFor(job.strategy);
  const state = await readState(job.serverState, step, blobs, mean.length);
  const part = trainedPart(head.manifest, job.training ?? {});
  const movement = { step, state, mean, draw: job.draw ?? null };
  const model = await blobs.write(nextFrame(job.base, blobs, head, { ...movement, part }));
  const serverState = state.size === 0 ? null : await writeState(state, blobs);
  const average = job.average && (await writeAverage(job.average, model.sha256, blobs, head));
  return { ...model, serverState, average: average ?? null };
}

/** Piece by piece; writes the state on the way. */
async function* nextFrame(
  base: Sha256,
  blobs: Blobs,
  head: CheckpointHead,
  { part, ...movement }: Movement & { readonly part: TrainedPart },
) {
  yield head.header;
  const pieces = checkpointValues(readHashed(blobs, base, OWN), head);
  for await (const values of movedValues(pieces, part, movement)) yield toBytes(values);
}

const layoutOf = (state: ServerState): Manifest => ({
  tensors: [...state].map(([name, { length }]) => ({ name, shape: [length], dtype: "float32" })),
});

async function readState(
  stored: Sha256 | null,
  step: ServerStep,
  blobs: Blobs,
  length: number,
): Promise<ServerState> {
  const state = step.init(length);
  if (stored === null) return state;
  const head = await readCheckpointHead(blobs.read(stored));
  if (JSON.stringify(head.manifest) !== JSON.stringify(layoutOf(state))) {
    throw new ConsiliumError("manifest.mismatch", { detail: "(the strategy's state)" });
  }
  const vectors = [...state.values()];
  for await (const { offset, values } of checkpointValues(readHashed(blobs, stored, OWN), head)) {
    // A piece may reach from one vector into the next.
    for (let done = 0; done < values.length;) {
      const at = offset + done;
      const part = values.subarray(done, done + length - (at % length));
      vectors[Math.floor(at / length)]?.set(part, at % length);
      done += part.length;
    }
  }
  return state;
}

/** As a checkpoint frame whose tensors are the state's vectors. */
async function writeState(state: ServerState, blobs: Blobs): Promise<Sha256> {
  for (const vector of state.values()) {
    if (!vector.every(Number.isFinite)) throw new ConsiliumError("vector.not-finite");
  }
  const { sha256 } = await blobs.write(stateFrame(state));
  return sha256;
}

function* stateFrame(state: ServerState): Generator<Uint8Array, void> {
  yield checkpointHeader(layoutOf(state));
  for (const vector of state.values()) yield toBytes(vector);
}
