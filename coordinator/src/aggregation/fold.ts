/**
 * The streaming fold: sealed updates in, the next checkpoint out. Memory is one float64 vector and a few chunks, however
 * many sites there are. Sites are folded in order of their names, so the same contributions give the same bits.
 */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { Identity } from "@consilium/shared/crypto/identity";
import type { Attempt, FederationId, Round, Sha256, SiteId } from "@consilium/shared/ids";
import { vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import type { Blobs, StoredBlob } from "../blobs/blobs.ts";
import { checkpointValues, readCheckpointHead, type CheckpointHead } from "./checkpoint-stream.ts";
import { toBytes, type ByteSource } from "./float-stream.ts";
import { STRATEGIES } from "./strategy.ts";
import { updateValues, type SealedUpdate } from "./update-stream.ts";

export interface FoldJob {
  readonly federation: FederationId;
  readonly round: Round;
  readonly attempt: Attempt;
  readonly base: Sha256;
  readonly strategy: Plan["aggregation"]["strategy"];
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
}

/**
 * @throws an update's own error with the site as its first culprit; then nothing was written
 */
export async function fold(job: FoldJob, blobs: Blobs, reader: Identity): Promise<StoredBlob> {
  const head = await readCheckpointHead(blobs.read(job.base));
  const mean = new Float64Array(vectorLength(head.manifest));
  const totalExamples = job.contributions.reduce((sum, { examples }) => sum + examples, 0);
  for (const { site, examples, sealedSha256 } of job.contributions) {
    const weight = examples / totalExamples;
    try {
      const update = sealedUpdate({ ...job, site }, blobs.read(sealedSha256), reader, head);
      for await (const { offset, values } of updateValues(update)) {
        for (let i = 0; i < values.length; i++) {
          mean[offset + i] = (mean[offset + i] ?? NaN) + weight * (values[i] ?? NaN);
        }
      }
    } catch (error) {
      throw blaming(site, error);
    }
  }
  return blobs.write(nextCheckpoint(job, blobs, head, mean));
}

/** Looks through a sealed update without keeping it. @throws as updateValues */
export async function checkUpdate(
  job: CheckJob,
  source: ByteSource,
  blobs: Blobs,
  reader: Identity,
): Promise<void> {
  const head = await readCheckpointHead(blobs.read(job.base));
  await drain(updateValues(sealedUpdate(job, source, reader, head)));
}

/** Looks through a checkpoint. @returns its layout; throws as checkpointValues */
export async function checkCheckpoint(read: () => ByteSource): Promise<CheckpointHead> {
  const head = await readCheckpointHead(read());
  await drain(checkpointValues(read(), head));
  return head;
}

/** The checkpoint that a strategy makes of its base and the mean update, piece by piece. */
export async function* nextCheckpoint(
  job: Pick<FoldJob, "base" | "strategy">,
  blobs: Blobs,
  head: CheckpointHead,
  mean: Float64Array,
) {
  const strategy = STRATEGIES[job.strategy];
  const state = strategy.init(mean.length);
  yield head.header;
  for await (const { offset, values } of checkpointValues(blobs.read(job.base), head)) {
    const end = offset + values.length;
    const next = strategy.update({
      base: values,
      mean: mean.subarray(offset, end),
      state: new Map([...state].map(([name, vector]) => [name, vector.subarray(offset, end)])),
    });
    if (!next.every(Number.isFinite)) throw new ConsiliumError("vector.not-finite");
    yield toBytes(next);
  }
}

function sealedUpdate(
  { federation, round, attempt, site }: CheckJob,
  source: ByteSource,
  reader: Identity,
  { manifest }: CheckpointHead,
): SealedUpdate {
  return { source, reader, manifest, context: { kind: "update", federation, round, attempt, site } };
}

/** Runs a generator for its checks alone. */
async function drain(stream: AsyncGenerator): Promise<void> {
  let next = await stream.next();
  while (next.done !== true) next = await stream.next();
}

/** Errors of the update name its site; errors of the machine (a full disk) stay what they are. */
function blaming(site: SiteId, error: unknown): unknown {
  const known = toConsiliumError(error);
  if (known.code === "internal" || known.code === "disk.full") return error;
  return new ConsiliumError(known.code, { culprits: [site, ...known.culprits], cause: error });
}
