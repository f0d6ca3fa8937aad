/** The training thread: answers one call at a time and keeps the compiled step from round to round. */
import { setImmediate } from "node:timers/promises";
import { parentPort, type Transferable } from "node:worker_threads";
import { canonicalJson } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteHealth } from "@consilium/shared/health/extras";
import { looksAtHealth } from "@consilium/shared/health/looks";
import { packError } from "@consilium/shared/packed-error";
import type { CachedImages } from "../dataset/cache.ts";
import { openSiteLabels } from "../dataset/taught-labels.ts";
import { openTrainingImages, type TrainingImages } from "../dataset/training-images.ts";
import { openHealthCheck, type HealthCheck } from "./health-check.ts";
import { genesis } from "./genesis.ts";
import { createLoader } from "./loader.ts";
import { trainedPatients } from "../dataset/held-out.ts";
import { assertPaid, assertUsable, runToEnd, trainLocally } from "./local-round.ts";
import { Pause } from "./pause.ts";
import { openPretextStep } from "./pretext-replicas.ts";
import type { PretextStep } from "./pretext-step.ts";
import { resumeFile, resumeKey } from "./resume.ts";
import { trialBatches } from "./trial.ts";
import type { FromWorker, ToWorker } from "./thread-protocol.ts";
import type { LocalRoundRequest, LocalRoundResult } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a worker thread");

const send = (message: FromWorker, transfer: readonly Transferable[] = []): void => {
  port.postMessage(message, transfer);
};

/** Tracing and compiling take longer than a small round, so both happen once. */
let latest: { readonly key: string; readonly compiled: PretextStep; health: HealthCheck | null } | null =
  null;

async function compiledFor({ plan, engine, privacy = null }: LocalRoundRequest): Promise<PretextStep> {
  const { cachePx, volume, model, pretext, training, health } = plan;
  const key =
    canonicalJson({ cachePx, volume, model, pretext, training, health }) + JSON.stringify([engine, privacy]);
  if (latest?.key === key) return latest.compiled;
  await forgetCompiled();
  const compiled = await openPretextStep(engine, plan, privacy);
  latest = { key, compiled, health: null };
  return compiled;
}

async function forgetCompiled(): Promise<void> {
  const old = latest;
  latest = null;
  await old?.health?.dispose();
  await old?.compiled.step.dispose();
}

const loader = createLoader();

/** The steps of a protected round are drawn anew by every run, and paid for by it. */
const resumeOf = (request: LocalRoundRequest, images: TrainingImages) =>
  request.resumeFile === undefined || request.resumeFile === null || (request.privacy ?? null) !== null
    ? null
    : resumeFile(request.resumeFile, resumeKey(request, images));

async function withCache<Cache extends CachedImages, T>(
  open: Promise<Cache>,
  use: (cache: Cache) => T | Promise<T>,
): Promise<T> {
  const cache = await open;
  try {
    return await use(cache);
  } finally {
    cache.close();
  }
}

/** Before training, so that all sites look at the same model. */
async function look(
  { plan, engine, base, kept = null, cacheDir }: LocalRoundRequest,
  cache: CachedImages,
  signal: AbortSignal,
): Promise<SiteHealth | null> {
  if (!looksAtHealth(plan) || latest === null) return null;
  latest.health ??= await openHealthCheck(engine, plan);
  const labels = await openSiteLabels(cacheDir, plan);
  try {
    return await latest.health.look(base, { ...labels, cache, kept, signal });
  } finally {
    labels.close();
  }
}

function train(
  request: LocalRoundRequest,
  id: number,
  { signal, pause }: RunningCall,
): Promise<LocalRoundResult> {
  const { plan, cacheDir } = request;
  return withCache(openTrainingImages(cacheDir, plan), async (images) => {
    const { whole: cache } = images;
    assertUsable(images, plan); // Before the long part.
    assertPaid(plan, request.privacy ?? null);
    // Starts now, and works while the step compiles.
    const batches = loader.load({ ...request, images: images.records.map(({ image }) => image) });
    const compiled = await compiledFor(request);
    const health = await look(request, cache, signal);
    const round = trainLocally(request, {
      compiled,
      cache: images,
      batches,
      trial: trialBatches(plan, compiled.task, images),
      now: () => performance.now(),
      resume: resumeOf(request, images),
    });
    try {
      const result = await runToEnd(
        round,
        async (progress) => {
          send({ id, progress });
          // A step blocks the thread; this lets a cancel message in, and batches.
          await setImmediate();
          await pause.resumed();
        },
        signal,
      );
      return { ...result, health: health && { ...health, patients: trainedPatients(images, plan) } };
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
  message: Exclude<ToWorker, { call: "cancel" | "pause" | "resume" | "close" }>,
  call: RunningCall,
): Promise<void> {
  const { id } = message;
  switch (message.call) {
    case "genesis": {
      const result = genesis(message.argument.plan, message.argument.start);
      send({ id, result }, buffersOf([result.values]));
      return;
    }
    case "countImages": {
      const { plan, cacheDir } = message.argument;
      const count = await withCache(openTrainingImages(cacheDir, plan), ({ records }) => records.length);
      send({ id, result: count });
      return;
    }
    case "train": {
      const result = await train(message.argument, id, call);
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

interface RunningCall {
  readonly signal: AbortSignal;
  readonly pause: Pause;
  readonly abort: () => void;
}

function startCall(): RunningCall {
  const controller = new AbortController();
  const pause = new Pause();
  const abort = (): void => {
    controller.abort();
    // It ends instead of resting.
    pause.set(false);
  };
  return { signal: controller.signal, pause, abort };
}

const running = new Map<number, RunningCall>();
let queue = Promise.resolve();

port.on("message", (message: ToWorker) => {
  if (message.call === "cancel") {
    running.get(message.id)?.abort();
    return;
  }
  if (message.call === "pause" || message.call === "resume") {
    running.get(message.id)?.pause.set(message.call === "pause");
    return;
  }
  if (message.call === "close") {
    for (const call of running.values()) call.abort();
    queue = queue.then(close);
    return;
  }
  const { id } = message;
  const call = startCall();
  running.set(id, call);
  queue = queue.then(async () => {
    try {
      call.signal.throwIfAborted();
      await answer(message, call);
    } catch (error) {
      send(call.signal.aborted ? { id, aborted: true } : { id, error: packError(error) });
    } finally {
      running.delete(id);
    }
  });
});
