/**
 * The streaming fold: sealed updates in, the next checkpoint out. Memory is the mean, a stretch of sums, the strategy's state
 * and a few chunks of each update. Sites are folded in order of their names, so the same contributions give the same bits.
 */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { trainedPart, type TrainedTerms } from "@consilium/shared/trained-part";
import type { Identity } from "@consilium/shared/crypto/identity";
import type { Attempt, FederationId, Round, Sha256, SiteId } from "@consilium/shared/ids";
import { vectorLength } from "@consilium/shared/manifest";
import type { Blobs } from "../blobs/blobs.ts";
import { isOwnFault } from "../faults.ts";
import type { Slice, Stretch } from "./checked-values.ts";
import { checkpointValues, readCheckpointHead, type CheckpointHead } from "./checkpoint-stream.ts";
import type { ByteSource } from "./float-stream.ts";
import { writeNext, type NextJob, type NextModel } from "./next-checkpoint.ts";
import { strategyFor } from "./strategy.ts";
import { stretchValues, updateValues, type UpdateTerms } from "./update-stream.ts";

export interface FoldJob extends NextJob {
  readonly federation: FederationId;
  readonly round: Round;
  readonly attempt: Attempt;
  /** Ordered by site. */
  readonly contributions: readonly {
    readonly site: SiteId;
    readonly examples: number;
    readonly sealedSha256: Sha256;
  }[];
}

export interface CheckJob {
  readonly federation: FederationId;
  readonly round: Round;
  readonly attempt: Attempt;
  readonly base: Sha256;
  readonly site: SiteId;
  /** Of the plan. */
  readonly training?: TrainedTerms;
}

/**
 * @throws an update's own error with the site as its first culprit, vector.not-finite without one if the next model is
 *   not; then nothing counts that was written
 */
export async function fold(job: FoldJob, blobs: Blobs, reader: Identity): Promise<NextModel> {
  const head = await readCheckpointHead(blobs.scan(job.base));
  const { combine } = strategyFor(job.strategy);
  const { contributions } = job;
  const mean = await combine({
    length: vectorLength(trainedPart(head.manifest, job.training ?? {}).manifest),
    examples: contributions.map(({ examples }) => examples),
    read: (i) => contributed(job, at(contributions, i), { blobs, reader, head }),
    readStretch: (i, stretch) => contributed(job, at(contributions, i), { blobs, reader, head, stretch }),
  });
  return writeNext(job, blobs, head, mean);
}

/** @throws an update's own error with the site as its first culprit */
async function* contributed(
  job: FoldJob,
  { site, sealedSha256 }: FoldJob["contributions"][number],
  {
    blobs,
    reader,
    head,
    stretch,
  }: {
    readonly blobs: Blobs;
    readonly reader: Identity;
    readonly head: CheckpointHead;
    readonly stretch?: Stretch;
  },
): AsyncGenerator<Slice, void, undefined> {
  try {
    const terms = termsOf({ ...job, site }, reader, head);
    yield* stretch === undefined
      ? updateValues({ ...terms, source: blobs.scan(sealedSha256) })
      : stretchValues((range) => blobs.scan(sealedSha256, range), terms, stretch);
  } catch (error) {
    throw blaming(site, error);
  }
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`no update ${index}`);
  return found;
}

/** Looks through a sealed update without keeping it. @throws as updateValues */
export async function checkUpdate(
  job: CheckJob,
  source: ByteSource,
  blobs: Blobs,
  reader: Identity,
): Promise<void> {
  const head = await readCheckpointHead(blobs.scan(job.base));
  await drain(updateValues({ ...termsOf(job, reader, head), source }));
}

/** Looks through a checkpoint. @returns its layout; throws as checkpointValues */
export async function checkCheckpoint(read: () => ByteSource): Promise<CheckpointHead> {
  const head = await readCheckpointHead(read());
  await drain(checkpointValues(read(), head));
  return head;
}

export function termsOf(
  { federation, round, attempt, site, training = {} }: CheckJob,
  reader: Identity,
  head: CheckpointHead,
): UpdateTerms {
  const { manifest } = trainedPart(head.manifest, training);
  return { reader, manifest, context: { kind: "update", federation, round, attempt, site } };
}

/** Runs a generator for its checks alone. */
export async function drain(stream: AsyncGenerator): Promise<void> {
  let next = await stream.next();
  while (next.done !== true) next = await stream.next();
}

/** Errors of the update name its site; errors of the machine, and of what it stands on, stay what they are. */
function blaming(site: SiteId, error: unknown): unknown {
  const known = toConsiliumError(error);
  if (isOwnFault(known.code)) return error;
  return new ConsiliumError(known.code, { culprits: [site, ...known.culprits], cause: error });
}
