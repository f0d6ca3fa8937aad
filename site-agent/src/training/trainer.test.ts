import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { MASK_GRID } from "@consilium/shared/evaluation/mask-extras";
import { manifestHash, vectorLength } from "@consilium/shared/manifest";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MaskWriter } from "../dataset/masks-writer.ts";
import { genesis } from "./genesis.ts";
import { Pause } from "./pause.ts";
import { pretrainAlone, withRounds, type AloneProgress } from "./pretrain-alone.ts";
import { sameBits, TOY_CACHE_PX, toyPlan, toyRecord, writeToyCache } from "./testing/toy.ts";
import { createTrainer } from "./trainer.ts";
import type { LocalRoundRequest } from "./types.ts";

const IMAGES = 24;
const PLAN = toyPlan();
const never = new AbortController().signal;
const ignore = (): void => undefined;

let root: string;
let cacheDir: string;
const trainer = createTrainer();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-trainer-"));
  cacheDir = join(root, "train");
  await writeToyCache(cacheDir, IMAGES);
});

afterAll(async () => {
  await trainer.close();
  await rm(root, { recursive: true, force: true });
});

const request = (changes: Partial<LocalRoundRequest> = {}): LocalRoundRequest => ({
  plan: PLAN,
  cacheDir,
  round: 1,
  base: genesis(PLAN).values,
  optimizerState: null,
  seed: 1,
  engine: { threads: 1, device: "cpu" },
  ...changes,
});

describe("the training thread", () => {
  it("derives the same first model as this thread", async () => {
    const { manifest, values } = await trainer.genesis(PLAN, null);
    const expected = genesis(PLAN);
    expect(manifestHash(manifest)).toBe(manifestHash(expected.manifest));
    expect(sameBits(values, expected.values)).toBe(true);
    expect(values).toHaveLength(vectorLength(manifest));
  });

  it("counts the images of a cache", async () => {
    expect(await trainer.countImages(PLAN, cacheDir)).toBe(IMAGES);
  });

  it("learns from masks that lie beside the cache, and says how much of them the model that it starts from finds", async () => {
    const classes = ["lung"];
    const asked = { images: 32, leastSpread: 0, masks: { classes }, patients: true };
    const plan = parsePlan({ ...PLAN, pretext: { task: "masks", classes, testShare: 0.5 }, health: asked });
    await expect(trainer.countImages(plan, cacheDir)).rejects.toMatchObject({ code: "labels.not-of-plan" });
    const writer = new MaskWriter(cacheDir, classes, { sizePx: TOY_CACHE_PX, depthPx: 1 });
    const left = new Uint8Array(TOY_CACHE_PX ** 2).map((_, i) => (i % TOY_CACHE_PX < 10 ? 255 : 0));
    for (let i = 0; i < IMAGES; i++) await writer.append(toyRecord(i).image, left);
    await writer.finish();
    const taught = await trainer.countImages(plan, cacheDir);
    const { examples, health } = await trainer.train(
      request({ plan, base: genesis(plan).values }),
      ignore,
      never,
    );
    expect(examples).toBe(taught);
    // One image a patient. A head at even odds says that nothing is inside.
    expect(health).toMatchObject({ patients: taught, scores: null });
    const { images = 0, ...cells } = health?.overlaps ?? {};
    expect(images).toBe(IMAGES - taught);
    expect(cells).toEqual({
      intersections: Float64Array.of(0),
      sizes: Float64Array.of((images * MASK_GRID ** 2) / 2),
    });
  });

  it("rests at the border of a step while it is paused, and ends there when it is aborted", async () => {
    const pause = new Pause();
    pause.set(true);
    const steps: number[] = [];
    let stepped: () => void = () => undefined;
    const firstStep = new Promise<void>((resolve) => (stepped = resolve));
    const onProgress = ({ step }: { readonly step: number }): void => {
      steps.push(step);
      stepped();
    };
    const first = trainer.train(request(), onProgress, never, pause);
    await firstStep;
    await delay(100);
    expect(steps).toEqual([1]);
    pause.set(false);
    await first;
    expect(steps).toEqual([1, 2, 3]);
    pause.set(true);
    const controller = new AbortController();
    const abort = (): void => {
      controller.abort();
    };
    const second = trainer.train(request(), abort, controller.signal, pause);
    await expect(second).rejects.toMatchObject({ name: "AbortError" });
  });

  it("trains, reports progress, repeats itself bit by bit, and leaves the caller's weights alone", async () => {
    const steps: number[] = [];
    const first = request();
    const result = await trainer.train(first, ({ step }) => steps.push(step), never);
    expect(steps).toEqual([1, 2, 3]);
    expect(sameBits(first.base, genesis(PLAN).values)).toBe(true);
    const again = await trainer.train(request(), ignore, never);
    expect(sameBits(again.delta, result.delta)).toBe(true);
    const next = await trainer.train(
      request({ round: 2, optimizerState: again.optimizerState }),
      ignore,
      never,
    );
    expect(next.optimizerState.step).toBe(6);
  });

  it("compiles anew for another plan, and comes back", async () => {
    const wider = toyPlan({ batchSize: 4 });
    expect((await trainer.train(request({ plan: wider }), ignore, never)).metrics.steps).toBe(6);
    expect((await trainer.train(request(), ignore, never)).metrics.steps).toBe(3);
  });

  it("hands typed errors over with their codes, and goes on working", async () => {
    const empty = join(root, "empty");
    await writeToyCache(empty, 0);
    const noImages = trainer.train(request({ cacheDir: empty }), ignore, never);
    await expect(noImages).rejects.toMatchObject({ code: "training.no-images", name: "ConsiliumError" });
    const poisoned = request();
    poisoned.base.fill(NaN);
    await expect(trainer.train(poisoned, ignore, never)).rejects.toMatchObject({ code: "training.diverged" });
    expect(await trainer.countImages(PLAN, cacheDir)).toBe(IMAGES);
  });

  it("ends when the signal fires, with the signal's reason", async () => {
    const controller = new AbortController();
    let steps = 0;
    const training = trainer.train(
      request({ plan: toyPlan({ localEpochs: 50 }) }),
      () => {
        steps += 1;
        controller.abort();
      },
      controller.signal,
    );
    await expect(training).rejects.toMatchObject({ name: "AbortError" });
    expect(steps).toBeLessThan(150);
    await expect(trainer.train(request(), ignore, controller.signal)).rejects.toMatchObject({
      name: "AbortError",
    });
  });

  it.each([1, 2])(
    "fails what %i devices do when it is closed, and starts again with the next call",
    async (devices) => {
      const own = createTrainer();
      const training = own.train(
        request({
          plan: toyPlan({ localEpochs: 100 }),
          engine: { threads: devices, device: "cpu", devices },
        }),
        () => void own.close(),
        never,
      );
      await expect(training).rejects.toMatchObject({ code: "engine.run-failed" });
      expect(await own.countImages(PLAN, cacheDir)).toBe(IMAGES);
      await own.close();
    },
  );
});

describe("pre-training alone", () => {
  it("runs the plan's rounds on this site's images and lowers the loss", async () => {
    const progress: AloneProgress[] = [];
    const plan = withRounds(toyPlan({ warmupRounds: 1 }), 6);
    const { values, losses } = await pretrainAlone(
      trainer,
      { plan, start: null, cacheDir, seed: 3, engine: { threads: 1, device: "cpu" } },
      (p) => progress.push(p),
      never,
    );
    expect(progress).toHaveLength(18);
    expect(progress.at(-1)).toMatchObject({ round: 6, rounds: 6, step: 3, steps: 3 });
    expect(losses).toHaveLength(6);
    expect(losses.at(-1)).toBeLessThan(0.9 * (losses[0] ?? 0));
    expect(values.every(Number.isFinite)).toBe(true);
  });
});
