/** The fine-tuning thread: opens the caches, runs one request, reports, ends. */
import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { packError } from "@consilium/shared/packed-error";
import { openImageCache } from "../dataset/cache.ts";
import { ANY_CLASSES, readClasses, type ClassSource } from "../dataset/class-source.ts";
import type { ImageCache } from "../dataset/types.ts";
import { createEngine } from "../engine/engine.ts";
import { finetune } from "./finetune.ts";
import type { FromFinetuneThread } from "./thread-protocol.ts";
import type { FinetuneRequest, FinetuneResult, LabelledCache } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a worker thread");
const send = (message: FromFinetuneThread): void => {
  port.postMessage(message);
};

const controller = new AbortController();
port.on("message", () => {
  controller.abort();
});

async function openLabelled(dir: string, classes: ClassSource): Promise<LabelledCache<ImageCache>> {
  return { labels: await readClasses(dir, classes), cache: await openImageCache(dir) };
}

async function run(request: FinetuneRequest, signal: AbortSignal): Promise<FinetuneResult> {
  const { model, trainDir, testDir, encoders, options, engine: settings } = request;
  const classes = request.classes ?? ANY_CLASSES;
  const train = await openLabelled(trainDir, classes);
  let test: LabelledCache<ImageCache> | null = null;
  try {
    test = testDir === null ? null : await openLabelled(testDir, classes);
    const engine = await createEngine(settings);
    return await finetune(
      { engine, model, train, test, encoders, options },
      async (progress) => {
        send({ progress });
        // A step blocks the thread; this lets a message to stop in.
        await setImmediate();
      },
      signal,
    );
  } finally {
    train.cache.close();
    test?.cache.close();
  }
}

try {
  send({ result: await run(workerData as FinetuneRequest, controller.signal) });
} catch (error) {
  send(controller.signal.aborted ? { aborted: true } : { error: packError(error) });
} finally {
  port.close();
}
