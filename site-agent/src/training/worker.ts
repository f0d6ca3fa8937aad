/** The training thread: answers one call at a time and keeps the compiled step from round to round. */
import { setImmediate } from "node:timers/promises";
import { parentPort, type Transferable } from "node:worker_threads";
import { canonicalJson } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { packError } from "@consilium/shared/packed-error";
import { openImageCache, type CachedImages } from "../dataset/cache.ts";
import { genesis } from "./genesis.ts";
import { createLoader } from "./loader.ts";
import { assertPaid, assertUsable, runToEnd, trainLocally } from "./local-round.ts";
import { openPretextStep } from "./pretext-replicas.ts";
import type { PretextStep } from "./pretext-step.ts";
import { trialBatches } from "./trial.ts";
import type { FromWorker, ToWorker } from "./thread-protocol.ts";
import type { LocalRoundRequest, LocalRoundResult } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a worker thread");

const send = (message: FromWorker, transfer: readonly Transferable[] = []): void => {
  port.postMessage(message, transfer);
};

/** Tracing and compiling take longer than a small round, so both happen once. */
let latest: { readonly key: string; readonly compiled: PretextStep } | null = null;

async function compiledFor({ plan, engine, privacy = null }: LocalRoundRequest): Promise<PretextStep> {
  const { cachePx, volume, model, pretext, training } = plan;
  const key =
    canonicalJson({ cachePx, volume, model, pretext, training }) + JSON.stringify([engine, privacy]);
  if (latest?.key === key) return latest.compiled;
  await forgetCompiled();
  const compiled = await openPretextStep(engine, plan, privacy);
  latest = { key, compiled };
  return compiled;
}

async function forgetCompiled(): Promise<void> {
  const old = latest;
  latest = null;
  await old?.compiled.step.dispose();
}

const loader = createLoader();

async function withCache<T>(dir: string, use: (cache: CachedImages) => T | Promise<T>): Promise<T> {
  const cache = await openImageCache(dir);
  try {
    return await use(cache);
  } finally {
    cache.close();
  }
}

function train(request: LocalRoundRequest, id: number, signal: AbortSignal): Promise<LocalRoundResult> {
  return withCache(request.cacheDir, async (cache) => {
    assertUsable(cache, request.plan); // Before the long part.
    assertPaid(request.plan, request.privacy ?? null);
    const batches = loader.load(request); // Starts now, and works while the step compiles.
    const compiled = await compiledFor(request);
    const trial = trialBatches(request.plan, compiled.task, cache);
    const round = trainLocally(request, { compiled, cache, batches, trial, now: () => performance.now() });
    try {
      return await runToEnd(
        round,
        async (progress) => {
          send({ id, progress });
          // A step blocks the thread; this lets a cancel message in, and batches.
          await setImmediate();
        },
        signal,
      );
    } catch (error) {
      // The next round starts all devices anew.
      if (error instanceof ConsiliumError && error.code === "engine.replica-lost") await forgetCompiled();
      throw error;
    } finally {
      await batches.return();
    }
  });
}

async function answer(
  message: Exclude<ToWorker, { call: "cancel" | "close" }>,
  signal: AbortSignal,
): Promise<void> {
  const { id } = message;
  switch (message.call) {
    case "genesis": {
      const result = genesis(message.argument);
      send({ id, result }, buffersOf([result.values]));
      return;
    }
    case "countImages":
      send({ id, result: await withCache(message.argument, ({ records }) => records.length) });
      return;
    case "train": {
      const result = await train(message.argument, id, signal);
      const { firstMoment, secondMoment } = result.optimizerState;
      send({ id, result }, buffersOf([result.delta, firstMoment, secondMoment]));
    }
  }
}

const buffersOf = (arrays: readonly Float32Array[]): ArrayBuffer[] => [
  ...new Set(arrays.map((array) => array.buffer as ArrayBuffer)),
];

/** Nothing keeps the thread alive after this. */
async function close(): Promise<void> {
  await Promise.all([forgetCompiled(), loader.close()]);
  port?.close();
}

const running = new Map<number, AbortController>();
let queue = Promise.resolve();

port.on("message", (message: ToWorker) => {
  if (message.call === "cancel") {
    running.get(message.id)?.abort();
    return;
  }
  if (message.call === "close") {
    for (const controller of running.values()) controller.abort();
    queue = queue.then(close);
    return;
  }
  const { id } = message;
  const controller = new AbortController();
  running.set(id, controller);
  queue = queue.then(async () => {
    try {
      controller.signal.throwIfAborted();
      await answer(message, controller.signal);
    } catch (error) {
      send(controller.signal.aborted ? { id, aborted: true } : { id, error: packError(error) });
    } finally {
      running.delete(id);
    }
  });
});
