/** The fine-tuning thread: opens the caches with their labels, runs one request, reports, ends. */
import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { packError } from "@consilium/shared/packed-error";
import { readBoxes } from "../dataset/boxes.ts";
import { openImageCache } from "../dataset/cache.ts";
import { ANY_CLASSES, readAllFindings, readClasses, type ClassSource } from "../dataset/class-source.ts";
import { openMasks } from "../dataset/masks.ts";
import type { ImageCache } from "../dataset/types.ts";
import { createEngine } from "../engine/engine.ts";
import { vitConfig } from "../model/sizes.ts";
import { compareEncoders } from "./comparison.ts";
import { findingsAsLabels, type FindingsSet } from "./findings/kind.ts";
import { finetune } from "./finetune.ts";
import { boxClasses, boxesAsLabels, type BoxedSet } from "./localization/kind.ts";
import { masksAsLabels, type MaskedSet } from "./segmentation/kind.ts";
import type { FromFinetuneThread } from "./thread-protocol.ts";
import type { FinetuneOutcome, FinetuneProgress, FinetuneRequest, LabelledCache } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a worker thread");
const send = (message: FromFinetuneThread): void => {
  port.postMessage(message);
};

const controller = new AbortController();
port.on("message", () => {
  controller.abort();
});

/** Opens both sets; each kind of label has its own way. */
async function withSets<Set, Result>(
  { trainDir, testDir }: FinetuneRequest,
  open: (dir: string) => Promise<Set>,
  close: (set: Set) => void,
  use: (train: Set, test: Set | null) => Promise<Result>,
): Promise<Result> {
  const train = await open(trainDir);
  let test: Set | null = null;
  try {
    test = testDir === null ? null : await open(testDir);
    return await use(train, test);
  } finally {
    close(train);
    if (test !== null) close(test);
  }
}

async function run(request: FinetuneRequest, signal: AbortSignal): Promise<FinetuneOutcome> {
  const { task, model, volume = null, encoders, options } = request;
  const engine = await createEngine(request.engine);
  const common = { engine, model, volume, encoders, options };
  const config = vitConfig(model);
  const report = async (progress: FinetuneProgress): Promise<void> => {
    send({ progress });
    // A step blocks the thread; this lets a message to stop in.
    await setImmediate();
  };
  switch (task) {
    case "classification":
      return withSets(
        request,
        async (dir): Promise<LabelledCache<ImageCache>> => ({
          labels: await readClasses(dir, request.classes ?? ANY_CLASSES),
          cache: await openImageCache(dir),
        }),
        closeCache,
        (train, test) => finetune({ ...common, train, test }, report, signal),
      );
    case "findings":
      return withSets(
        request,
        (dir) => openFindings(dir, request.classes ?? ANY_CLASSES),
        closeCache,
        (train, test) => {
          const kind = findingsAsLabels(train, config, options.settings, options.releasedClasses);
          return compareEncoders(kind, { ...common, train, test }, report, signal);
        },
      );
    case "segmentation":
      return withSets(request, openMasked, closeMasked, (train, test) => {
        const kind = masksAsLabels(train, config, options.head, volume, options.releasedClasses);
        return compareEncoders(kind, { ...common, train, test }, report, signal);
      });
    case "localization":
      return withSets(request, openBoxed, closeCache, (train, test) => {
        const kind = boxesAsLabels(train.cache.sizePx, boxClasses(train), config);
        return compareEncoders(kind, { ...common, train, test }, report, signal);
      });
  }
}

async function openFindings(dir: string, { from }: ClassSource): Promise<FindingsSet> {
  return { findings: await readAllFindings(dir, from), cache: await openImageCache(dir) };
}

async function openMasked(dir: string): Promise<MaskedSet> {
  const cache = await openImageCache(dir);
  const masks = await openMasks(dir);
  if (masks !== null) return { masks, cache };
  cache.close();
  throw new ConsiliumError("labels.unmatched", { detail: "(there are no masks)" });
}

function closeMasked({ masks, cache }: MaskedSet): void {
  masks.close();
  cache.close();
}

function closeCache({ cache }: { readonly cache: { close(): void } }): void {
  cache.close();
}

async function openBoxed(dir: string): Promise<BoxedSet> {
  const { boxes, known } = await readBoxes(dir);
  return { boxes, known, cache: await openImageCache(dir) };
}

try {
  send({ outcome: await run(workerData as FinetuneRequest, controller.signal) });
} catch (error) {
  send(controller.signal.aborted ? { aborted: true } : { error: packError(error) });
} finally {
  port.close();
}
