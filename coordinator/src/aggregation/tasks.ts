/** The heavy work, as values that can be posted to a worker thread. */
import { createHash } from "node:crypto";
import { openStream } from "@consilium/shared/crypto/envelope";
import type { Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId, UploadId } from "@consilium/shared/ids";
import type { TailTotals } from "@consilium/shared/secagg/decode";
import type { TensorMagnitude } from "@consilium/shared/secagg/ranges";
import type { Blobs } from "../blobs/blobs.ts";
import type { ArrivedSum } from "./arrived-sum.ts";
import type { ArrivingUpdates } from "./arriving-updates.ts";
import { checkCheckpoint, checkUpdate, fold, type CheckJob, type FoldJob } from "./fold.ts";
import type { ByteSource } from "./float-stream.ts";
import {
  foldMaskedRound,
  sumMasked,
  type MaskedFold,
  type MaskedFoldJob,
  type MaskedSumJob,
} from "./fold-masked.ts";
import { readMagnitudes } from "./magnitudes.ts";
import type { MaskedTerms } from "./masked-frame.ts";
import type { NextModel } from "./next-checkpoint.ts";

export type Task =
  | { readonly task: "fold"; readonly job: FoldJob }
  | {
      readonly task: "check-update";
      readonly job: CheckJob;
      readonly upload: UploadId | null;
      readonly sha256: Sha256;
    }
  | {
      readonly task: "look-ahead";
      readonly job: CheckJob;
      readonly upload: UploadId;
      readonly arrivedBytes: number;
    }
  | { readonly task: "open-genesis"; readonly job: GenesisJob }
  | { readonly task: "fold-masked"; readonly job: MaskedFoldJob }
  | { readonly task: "sum-masked"; readonly job: MaskedSumJob }
  | { readonly task: "check-masked"; readonly job: MaskedCheckJob }
  | { readonly task: "magnitudes"; readonly base: Sha256 };

/** A masked vector that has arrived. */
export interface MaskedCheckJob extends MaskedTerms {
  /** Null for one that has its name already. */
  readonly upload: UploadId | null;
  readonly sha256: Sha256;
}

/** A sealed initial model that has arrived. */
export interface GenesisJob {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly upload: UploadId;
  readonly sealedSha256: Sha256;
  /** Of the checkpoint inside. */
  readonly sha256: Sha256;
}

/** What the service asks of it; in production a worker thread does it, so that heartbeats go on. */
export interface Aggregator {
  /** @throws an update's own error with the site as its first culprit; then nothing was written */
  fold(job: FoldJob): Promise<NextModel>;
  /** Looks at the beginning of an upload while the rest arrives; what is wrong with it `checkUpdate` tells. */
  lookAhead(job: CheckJob, upload: UploadId, arrivedBytes: number): Promise<void>;
  /** Whether a finished upload, or the object that it became (null), is what its header says. @throws hash.mismatch, and as updateValues */
  checkUpdate(job: CheckJob, upload: UploadId | null, sha256: Sha256): Promise<void>;
  /** Opens the initial model and stores it as a blob. @throws hash.mismatch, and as openStream and checkpointValues */
  openGenesis(job: GenesisJob): Promise<void>;
  /** @throws secagg.garbled, frame.*; then nothing was written */
  foldMasked(job: MaskedFoldJob): Promise<MaskedFold>;
  /** The sum of vectors without an update. @throws secagg.garbled, frame.* */
  sumMasked(job: MaskedSumJob): Promise<TailTotals>;
  /** Whether a finished upload is what its site stands for; adds it up. @throws hash.mismatch, frame.*, secagg.other-attempt */
  checkMasked(job: MaskedCheckJob): Promise<void>;
  /** Of each tensor of a checkpoint. @throws frame.*, vector.not-finite, blob.unknown */
  magnitudes(base: Sha256): Promise<readonly TensorMagnitude[]>;
  close(): Promise<void>;
}

export interface TaskPorts {
  readonly blobs: Blobs;
  readonly reader: Identity;
  readonly arrived: ArrivedSum;
  readonly arriving: ArrivingUpdates;
}

export type TaskResult = NextModel | MaskedFold | TailTotals | Magnitudes | null;

interface Magnitudes {
  readonly magnitudes: readonly TensorMagnitude[];
}

/** @returns the new blob of a fold, the totals of a sum, magnitudes; null for checks */
export async function runTask(task: Task, ports: TaskPorts): Promise<TaskResult> {
  const { blobs, reader, arrived, arriving } = ports;
  switch (task.task) {
    case "fold":
      return fold(task.job, blobs, reader);
    case "look-ahead":
      await arriving.look(task.job, task.upload, task.arrivedBytes);
      return null;
    case "check-update": {
      if (task.upload !== null && (await arriving.finish(task.upload, task.sha256))) return null;
      const read = await arrivedObject(blobs, task);
      await assertHashed(read(), task.sha256, (source) => checkUpdate(task.job, source, blobs, reader));
      return null;
    }
    case "open-genesis":
      await openGenesis(task.job, blobs, reader);
      return null;
    case "fold-masked":
      return foldMaskedRound(task.job, blobs, arrived);
    case "sum-masked":
      return sumMasked(task.job, blobs, arrived);
    case "magnitudes":
      return { magnitudes: await readMagnitudes(blobs, task.base) };
    case "check-masked": {
      const { sha256 } = task.job;
      const read = await arrivedObject(blobs, task.job);
      await arrived.add(task.job, sha256, read()).catch(async (error: unknown) => {
        // First of all whether this is what the site sent; only then what is wrong with it.
        await assertHash(read(), sha256);
        throw error;
      });
      return null;
    }
  }
}

/** What has come from a site, wherever it is by now. */
async function arrivedObject(
  blobs: Blobs,
  { upload, sha256 }: { readonly upload: UploadId | null; readonly sha256: Sha256 },
): Promise<() => AsyncIterable<Uint8Array>> {
  if (upload === null) return () => blobs.scan(sha256);
  const staged = await blobs.stage(upload);
  return () => staged.scan();
}

async function openGenesis(job: GenesisJob, blobs: Blobs, reader: Identity): Promise<void> {
  const { federation, site } = job;
  const staged = await blobs.stage(job.upload);
  await assertHash(staged.scan(), job.sealedSha256);
  const context = { kind: "genesis", federation, round: 0, attempt: 0, site };
  const frame = () => openStream(staged.scan(), reader, context);
  await checkCheckpoint(frame);
  // Before it has a name: under another hash it may be an object that is needed.
  await assertHash(frame(), job.sha256);
  await blobs.write(frame());
}

async function assertHash(source: ByteSource, expected: Sha256): Promise<void> {
  const hash = createHash("sha256");
  for await (const piece of source) hash.update(piece);
  if (hash.digest("hex") !== expected) throw new ConsiliumError("hash.mismatch");
}

/**
 * Hashes the object while `look` looks at it, and the rest of it afterwards: all of it is read, and once.
 * @throws hash.mismatch, whatever else is wrong with an object of another name; or what `look` throws
 */
async function assertHashed(
  object: AsyncIterable<Uint8Array>,
  expected: Sha256,
  look: (source: ByteSource) => Promise<void>,
): Promise<void> {
  const hash = createHash("sha256");
  const pieces = object[Symbol.asyncIterator]();
  const seen = { isUnreadable: false };
  async function* hashed(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const next = await pieces.next().catch((error: unknown) => {
        seen.isUnreadable = true;
        throw error;
      });
      if (next.done === true) return;
      hash.update(next.value);
      yield next.value;
    }
  }
  let failure: { readonly error: unknown } | null = null;
  try {
    await look(hashed());
  } catch (error) {
    // What the disk says of itself is no fault of the object.
    if (seen.isUnreadable) throw error;
    failure = { error };
  }
  const rest = hashed();
  while ((await rest.next()).done !== true);
  if (hash.digest("hex") !== expected) throw new ConsiliumError("hash.mismatch");
  if (failure !== null) throw failure.error;
}
