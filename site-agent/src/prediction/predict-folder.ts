/** A trained network over a folder of images: files are read as ingest reads them, a batch ahead of the network. */
import type { ErrorCode } from "@consilium/shared/errors";
import type { InputProfile } from "@consilium/shared/input-profile";
import type { CachedRecord } from "../dataset/cache-format.ts";
import { recordBytes, type ImageCache, type RecordShape } from "../dataset/types.ts";
import { forEachImage } from "../downstream/predict.ts";
import { trainedNetwork, type TrainedTask } from "../downstream/trained-network.ts";
import type { Engine } from "../engine/types.ts";
import { walkFiles, type FoundFile } from "../ingest/folder.ts";
import { packKeys } from "../ingest/known-keys.ts";
import { ReadPool } from "../ingest/read-pool.ts";
import type { Stack } from "../ingest/volume/group.ts";
import type { VitConfig } from "../model/sizes.ts";
import type { Checkpoint } from "@consilium/shared/codec";
import { answerOf, type Answer } from "./answer.ts";

export interface PredictOptions {
  readonly folder: string;
  /** The site's HMAC secret: reading needs one, though no key is shown. */
  readonly secret: Uint8Array;
  readonly cachePx: number;
  readonly profile: InputProfile;
  readonly config: VitConfig;
  readonly trained: TrainedTask;
  readonly checkpoint: Checkpoint;
  readonly engine: Engine;
  /** What NIfTI files hold, as they do not say: a term of DICOM. */
  readonly niftiModality?: string;
  /** Reading threads. */
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/** In the folder's order; volumes after the files that make none. */
export type Predicted =
  | {
      /** Of a volume of several files the first. */
      readonly file: FoundFile;
      readonly outcome: "answered";
      readonly record: CachedRecord;
      readonly answer: Answer;
      /** Slices of DICOM, where they made a volume. */
      readonly stack?: Stack;
    }
  | { readonly file: FoundFile; readonly outcome: "set-aside"; readonly code: ErrorCode };

const BATCH = 32;
const TIMEOUT_MS = 20_000;

/** @throws ingest.folder-missing, manifest.mismatch, engine.*; the signal's reason */
export async function* predictFolder(options: PredictOptions): AsyncGenerator<Predicted, void> {
  const { folder, secret, cachePx, profile, config, trained, checkpoint, engine, threads, signal } = options;
  const cached = { sizePx: cachePx, depthPx: 1 };
  const network = trainedNetwork(trained, checkpoint, { config, cached, batchSize: BATCH });
  const inference = await engine.compileInference(network.definition);
  const pool = new ReadPool({
    secret,
    sizePx: cachePx,
    profile,
    threads,
    timeoutMs: TIMEOUT_MS,
    known: packKeys([]),
  });
  const read = (files: readonly FoundFile[]) =>
    Promise.all(files.map(async (file) => ({ file, result: await pool.read(file) })));
  try {
    await inference.writeWeights(network.weights);
    const batches = inBatches(walkFiles(folder));
    let reading = nextBatch(batches, read);
    for (;;) {
      const batch = await reading;
      if (batch === null) return;
      signal?.throwIfAborted();
      reading = nextBatch(batches, read);
      // Not waited for if the network fails.
      reading.catch(() => undefined);
      const images = batch.flatMap(({ result }) => (result.outcome === "read" ? [result] : []));
      const answers = new Map<CachedRecord, Answer>();
      await forEachImage(
        { inference, config, batchSize: BATCH },
        inMemory(images, { ...cached, channels: config.channels }),
        images.map(({ record }, index) => ({ index, patient: record.patient, label: "" })),
        ({ index }, outputs) => {
          const { record } = images[index] ?? {};
          if (record !== undefined)
            answers.set(record, answerOf(trained, outputs, record, { cachePx, imagePx: config.imagePx }));
        },
      );
      for (const { file, result } of batch) {
        const answer = result.outcome === "read" ? answers.get(result.record) : undefined;
        if (result.outcome === "read" && answer !== undefined)
          yield { file, outcome: "answered", record: result.record, answer };
        else if (result.outcome === "quarantined") yield { file, outcome: "set-aside", code: result.code };
      }
    }
  } finally {
    await pool.close();
    await inference.dispose();
  }
}

async function nextBatch<T>(
  batches: AsyncIterator<readonly FoundFile[], void>,
  read: (files: readonly FoundFile[]) => Promise<T>,
): Promise<T | null> {
  const { done, value } = await batches.next();
  return done === true ? null : read(value);
}

async function* inBatches(files: AsyncIterable<FoundFile>): AsyncGenerator<readonly FoundFile[], void> {
  let batch: FoundFile[] = [];
  for await (const file of files) {
    if (batch.push(file) < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

interface InMemory {
  readonly record: CachedRecord;
  readonly pixels: Uint8Array;
}

/** A batch as the cache that networks read from. */
export function inMemory(images: readonly InMemory[], shape: RecordShape): ImageCache {
  const length = recordBytes(shape);
  return {
    ...shape,
    records: images.map(({ record }) => record),
    read: (indices, out) => {
      for (const [i, index] of Array.from(indices).entries()) {
        const { pixels } = images[index] ?? {};
        if (pixels !== undefined) out.set(pixels, i * length);
      }
    },
    close: () => undefined,
  };
}
