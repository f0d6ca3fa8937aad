/** A trained network over a folder of volumes: series of DICOM and NIfTI files, put together as ingest does. */
import type { CachedRecord } from "../dataset/cache-format.ts";
import { forEachImage } from "../downstream/predict.ts";
import { trainedNetwork } from "../downstream/trained-network.ts";
import { walkFiles, type FoundFile } from "../ingest/folder.ts";
import { packKeys } from "../ingest/known-keys.ts";
import { VolumeCollector, type VolumeSink } from "../ingest/volume/collector.ts";
import type { Stack } from "../ingest/volume/group.ts";
import { openNifti, readNiftiFile } from "../ingest/volume/nifti.ts";
import { sourceOf } from "../ingest/volume/read-volume.ts";
import { VolumePool } from "../ingest/volume/volume-pool.ts";
import { volumeAnswer, type Answer } from "./answer.ts";
import type { OriginalVolume } from "./grid-masks.ts";
import { Handover } from "./handover.ts";
import { inMemory, type Predicted, type PredictOptions } from "./predict-folder.ts";

const TIMEOUT_MS = 20_000;

interface ReadVolume {
  readonly record: CachedRecord;
  readonly pixels: Uint8Array;
}

/**
 * A series may lie anywhere in the folder: all headers are read first.
 * @throws ingest.folder-missing, manifest.mismatch, engine.*; the signal's reason
 */
export async function* predictVolumes(options: PredictOptions): AsyncGenerator<Predicted, void> {
  const { folder, secret, cachePx, profile, config, trained, checkpoint, engine, threads, signal } = options;
  const planned = profile.volume;
  if (planned === null) throw new Error("the plan is for images");
  const cached = { sizePx: cachePx, depthPx: planned.depthPx };
  const network = trainedNetwork(trained, checkpoint, { config, cached, batchSize: 1 });
  const inference = await engine.compileInference(network.definition);
  const answers = new Handover<Predicted>();
  const ask = async (file: FoundFile, volume: ReadVolume, stack: Stack | null): Promise<void> => {
    const original = stack === null ? niftiOriginal(file) : { ...sourceOf(stack), shifts: stack.shifts };
    const { record } = volume;
    const said: Answer[] = [];
    await forEachImage(
      { inference, config, batchSize: 1 },
      inMemory([volume], { ...cached, channels: profile.channels }),
      [{ index: 0, patient: record.patient, label: "" }],
      (_, outputs) => {
        said.push(volumeAnswer(trained, outputs, original, { sizePx: cachePx, planned }));
      },
    );
    for (const answer of said)
      await answers.give({ file, outcome: "answered", record, answer, ...(stack !== null && { stack }) });
  };
  /** NIfTI files are volumes by themselves, of which the file is told right after. */
  let single: ReadVolume | null = null;
  const sink: VolumeSink = {
    put: async (result, stack) => {
      if (result.outcome === "read" && stack !== null) await ask(firstFile(stack), result, stack);
      else single = result.outcome === "read" ? result : null;
      return result.outcome === "quarantined" ? result.code : null;
    },
    isLarger: () => false,
    report: async ({ file, code }) => {
      if (code !== null) await answers.give({ file, outcome: "set-aside", code });
      else if (single !== null) await ask(file, single, null);
      single = null;
    },
  };
  const pool = new VolumePool({
    secret,
    sizePx: cachePx,
    profile,
    niftiModality: options.niftiModality ?? "OT",
    threads,
    timeoutMs: TIMEOUT_MS,
    known: packKeys([]),
  });
  const collector = new VolumeCollector(pool, threads + 1, sink);
  const readAll = async (): Promise<void> => {
    for await (const file of walkFiles(folder)) {
      signal?.throwIfAborted();
      await collector.add(file);
    }
    await collector.flush(0, signal);
  };
  try {
    await inference.writeWeights(network.weights);
    yield* answers.until(readAll());
  } finally {
    await collector.close();
    await inference.dispose();
  }
}

/** In the folder's order. */
function firstFile({ slices }: Stack): FoundFile {
  return slices.reduce(
    (first, { file }) => (file.relativePath < first.relativePath ? file : first),
    slices[0].file,
  );
}

function niftiOriginal({ path }: FoundFile): OriginalVolume {
  return { ...openNifti(readNiftiFile(path)).source, shifts: null };
}
