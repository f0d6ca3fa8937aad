import { sha256 } from "@consilium/shared/canonical";
import { elementCount } from "@consilium/shared/manifest";
import { parsePlan } from "@consilium/shared/plan";
import { MOST_LOSS } from "@consilium/shared/secagg/plan-layout";
import { tensorViews } from "@consilium/shared/vector";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { holdOut } from "../dataset/held-out.ts";
import { createEngine } from "../engine/engine.ts";
import type { OptimizerState } from "../engine/types.ts";
import { sharedWeights, trainedOf } from "../pretext/sharing.ts";
import { genesis } from "./genesis.ts";
import { runToEnd, trainLocally } from "./local-round.ts";
import { roundBatches } from "./round-batches.ts";
import { compilePretextStep, type PretextStep } from "./pretext-step.ts";
import type { Resume, TrainingPoint } from "./resume.ts";
import { sameBits, TOY_CACHE_PX, toyCache, toyPlan } from "./testing/toy.ts";
import { trialBatches } from "./trial.ts";
import type { LocalRoundProgress } from "./types.ts";

const PLAN = toyPlan();
const BASE = genesis(PLAN).values;
let compiled: PretextStep;

beforeAll(async () => {
  compiled = await compilePretextStep(await createEngine({ threads: 1, device: "cpu" }), PLAN);
});
afterAll(() => compiled.step.dispose());

interface Options {
  readonly plan?: typeof PLAN;
  readonly with?: PretextStep;
  readonly images?: number;
  readonly seed?: number;
  readonly round?: number;
  readonly optimizerState?: OptimizerState | null;
  readonly signal?: AbortSignal;
  readonly resume?: Resume;
  readonly onProgress?: (progress: LocalRoundProgress) => void;
}

async function run(options: Options = {}) {
  const { plan = PLAN, images = 40, seed = 1, round = 1, optimizerState = null } = options;
  let time = 0;
  const { with: step = compiled } = options;
  const cache = toyCache(images);
  const work = trainLocally(
    { plan, round, base: BASE, optimizerState },
    {
      compiled: step,
      cache,
      batches: roundBatches({ plan, round, seed }, step.task, cache),
      now: () => (time += 100),
      resume: options.resume ?? null,
    },
  );
  return runToEnd(work, options.onProgress ?? (() => undefined), options.signal);
}

describe("a local round", () => {
  it("lowers the loss within 30 steps", async () => {
    const losses: number[] = [];
    const plan = toyPlan({ localEpochs: 6 }, 1);
    const { metrics } = await run({ plan, onProgress: ({ loss }) => losses.push(loss) });
    expect(metrics.steps).toBe(30);
    expect(losses[0]).toBeGreaterThan(0.8);
    expect(metrics.finalLoss).toBeLessThan(0.8 * (losses[0] ?? 0));
    expect(metrics.loss).toBeCloseTo(losses.reduce((sum, loss) => sum + loss, 0) / 30, 10);
  });

  it("reports every step, its examples, and an update whose norm is as told", async () => {
    const progress: LocalRoundProgress[] = [];
    const result = await run({ images: 44, onProgress: (p) => progress.push(p) });
    expect(progress.map(({ step, steps }) => `${step}/${steps}`)).toEqual([
      "1/5",
      "2/5",
      "3/5",
      "4/5",
      "5/5",
    ]);
    expect(progress.every(({ imagesPerSecond }) => imagesPerSecond > 0)).toBe(true);
    expect(result.examples).toBe(44);
    expect(result.delta).toHaveLength(BASE.length);
    expect(result.metrics.updateNorm).toBeCloseTo(
      Math.sqrt(result.delta.reduce((sum, v) => sum + v * v, 0)),
      6,
    );
    expect(result.metrics.updateNorm).toBeGreaterThan(0);
    expect(result.optimizerState.step).toBe(5);
  });

  it("gives the same bits for the same seed, whatever was trained before", async () => {
    const first = await run({ seed: 7 });
    const other = await run({ seed: 8 });
    const again = await run({ seed: 7 });
    expect(sameBits(first.delta, again.delta)).toBe(true);
    expect(sameBits(first.delta, other.delta)).toBe(false);
    expect(sameBits(first.optimizerState.firstMoment, again.optimizerState.firstMoment)).toBe(true);
    expect(sameBits(first.optimizerState.secondMoment, again.optimizerState.secondMoment)).toBe(true);
  });

  it("continues kept moments, and drops them where the plan says so", async () => {
    const { optimizerState } = await run();
    const kept = await run({ round: 2, optimizerState });
    expect(kept.optimizerState.step).toBe(10);
    const dropped = await run({ plan: toyPlan({ optimizerState: "reset" }), round: 2, optimizerState });
    expect(dropped.optimizerState.step).toBe(5);
  });

  it.each([0, 50])(
    "goes on from where a run was killed, to the same update but for rounding (mu %i)",
    async (mu) => {
      const plan = toyPlan({ proximalMu: mu });
      const held = await compilePretextStep(await createEngine({ threads: 1, device: "cpu" }), plan);
      const runHeld = (options: Options) => run({ plan, with: held, seed: 7, ...options });
      const kept: { point: TrainingPoint | null } = { point: null };
      const resume: Resume = {
        everyMs: 0,
        read: () => Promise.resolve(kept.point),
        write: (point) => {
          kept.point = structuredClone(point); // The arrays are the step's own, and are written over.
          return Promise.resolve();
        },
      };
      const whole = await runHeld({});
      const killed = new AbortController();
      const steps: number[] = [];
      const onProgress = ({ step }: LocalRoundProgress): void => {
        steps.push(step);
        if (steps.length === 3) killed.abort();
      };
      await expect(runHeld({ resume, signal: killed.signal, onProgress })).rejects.toThrow();
      // Saving took long by this clock, and is not done again at once.
      expect(kept.point?.losses).toHaveLength(1);
      const resumed = await runHeld({ resume, onProgress: ({ step }) => steps.push(step) });
      expect(steps).toEqual([1, 2, 3, 2, 3, 4, 5]);
      // The step carries its bias corrections on, and works them out anew from a state that is written to it.
      const off = resumed.delta.reduce(
        (most, v, i) => Math.max(most, Math.abs(v - (whole.delta[i] ?? NaN))),
        0,
      );
      expect(off).toBeLessThan(1e-4);
      expect(resumed.metrics.loss).toBeCloseTo(whole.metrics.loss, 5);
      expect(resumed.optimizerState.step).toBe(whole.optimizerState.step);
      await held.step.dispose();
    },
  );

  it("sends nothing of a teacher, which begins as the global model and stays here", async () => {
    const own = { task: "mocov3", projector: { hidden: 16, width: 8 } };
    const plan = parsePlan({ ...toyPlan(), pretext: own });
    const { manifest, values: base } = genesis(plan);
    expect(manifest.tensors.some(({ name }) => name.startsWith("teacher."))).toBe(false);
    const teaching = await compilePretextStep(await createEngine({ threads: 1, device: "cpu" }), plan);
    const cache = toyCache(16);
    const work = trainLocally(
      { plan, round: 1, base, optimizerState: null },
      {
        compiled: teaching,
        cache,
        batches: roundBatches({ plan, round: 1, seed: 1 }, teaching.task, cache),
        now: () => 0,
      },
    );
    const { delta } = await runToEnd(work, () => undefined);
    expect(delta).toHaveLength(base.length);
    const after = await teaching.step.readWeights();
    const teacherOf = (name: string) => {
      const { parameters } = teaching.task;
      const at = parameters.findIndex((parameter) => parameter.name === name);
      const offset = parameters.slice(0, at).reduce((sum, { shape }) => sum + elementCount(shape), 0);
      return after.subarray(offset, offset + elementCount(parameters[at]?.shape ?? []));
    };
    // Two steps of momentum .99 behind.
    const [student, teacher] = [teacherOf("projector.fc2.weight"), teacherOf("teacher.projector.fc2.weight")];
    const start = sharedWeights(teaching.task, teaching.task.initialWeights(plan.seed));
    expect(sameBits(start, base)).toBe(true);
    const moved = student.reduce((sum, w, i) => sum + Math.abs(w - (teacher[i] ?? NaN)), 0) / student.length;
    expect(moved).toBeGreaterThan(1e-5);
    expect(moved).toBeLessThan(0.02);
    await teaching.step.dispose();
  });

  it("trains nothing of what the plan freezes, and says nothing of it", async () => {
    const start = { sha256: sha256("start"), bytes: 5, format: "checkpoint" } as const;
    const whole = toyPlan();
    const plan = parsePlan({ ...whole, start, training: { ...whole.training, frozenBlocks: 4 } });
    const freezing = await compilePretextStep(await createEngine({ threads: 1, device: "cpu" }), plan);
    const { manifest, offset } = trainedOf(freezing.task, plan);
    const cache = toyCache(16);
    const work = trainLocally(
      { plan, round: 1, base: BASE, optimizerState: null },
      {
        compiled: freezing,
        cache,
        batches: roundBatches({ plan, round: 1, seed: 1 }, freezing.task, cache),
        now: () => 0,
      },
    );
    const { delta } = await runToEnd(work, () => undefined);
    expect(delta).toHaveLength(BASE.length - offset);
    const after = sharedWeights(freezing.task, await freezing.step.readWeights());
    expect(sameBits(after.slice(0, offset), BASE.slice(0, offset))).toBe(true);
    for (const [name, view] of tensorViews(manifest, delta)) {
      expect(
        view.some((value) => value !== 0),
        name,
      ).toBe(true);
    }
    await freezing.step.dispose();
  });

  it("uses all images of a set that is smaller than a batch", async () => {
    const { examples, metrics } = await run({ images: 3 });
    expect({ examples, steps: metrics.steps }).toEqual({ examples: 3, steps: 1 });
  });

  it("refuses an empty cache, and one of another image size or profile", async () => {
    await expect(run({ images: 0 })).rejects.toMatchObject({ code: "training.no-images" });
    const work = trainLocally(
      { plan: PLAN, round: 1, base: BASE, optimizerState: null },
      { compiled, cache: toyCache(8, 24), batches: [], now: () => 0 },
    );
    await expect(runToEnd(work, () => undefined)).rejects.toMatchObject({ code: "cache.wrong-size" });
    const cache = { ...toyCache(8), profile: sha256("another") };
    const other = trainLocally(
      { plan: PLAN, round: 1, base: BASE, optimizerState: null },
      { compiled, cache, batches: [], now: () => 0 },
    );
    await expect(runToEnd(other, () => undefined)).rejects.toMatchObject({ code: "cache.wrong-profile" });
  });

  it("ends at a step's border when aborted, and the step can be used again", async () => {
    const controller = new AbortController();
    let steps = 0;
    const aborted = run({
      signal: controller.signal,
      onProgress: () => {
        steps += 1;
        if (steps === 2) controller.abort();
      },
    });
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
    expect(steps).toBe(2);
    expect((await run()).metrics.steps).toBe(5);
  });
});

describe("a base that is tried", () => {
  const plan = parsePlan({ ...PLAN, acceptance: { heldOutShare: 0.25 } });
  const cache = toyCache(40);
  const { trained, heldOut } = holdOut(cache, plan);
  const tried = async (base: Float32Array, round = 1) =>
    runToEnd(
      trainLocally(
        { plan, round, base, optimizerState: null },
        {
          compiled,
          cache,
          batches: roundBatches({ plan, round, seed: 1 }, compiled.task, cache),
          trial: trialBatches(plan, compiled.task, cache),
          now: () => 0,
        },
      ),
      () => undefined,
    );

  it("is tried on patients that nobody trains on, the same ones whoever else is there", () => {
    expect(heldOut.length).toBeGreaterThan(2);
    expect([...trained, ...heldOut].sort((a, b) => a - b)).toEqual(cache.records.map((_, i) => i));
    expect(holdOut(toyCache(60), plan).heldOut).toEqual(expect.arrayContaining([...heldOut]));
    expect(holdOut(cache, PLAN).heldOut).toEqual([]);
    const seen = roundBatches({ plan, round: 1, seed: 1 }, { prepare: (images) => ({ images }) }, cache);
    const one = new Uint8Array(TOY_CACHE_PX ** 2);
    const heldOutImages = heldOut.map((index) => (cache.read([index], one), one.join()));
    for (const { images } of seen) {
      for (let at = 0; at < (images?.length ?? 0); at += one.length) {
        expect(heldOutImages).not.toContain((images as Uint8Array).subarray(at, at + one.length).join());
      }
    }
  });

  it("has the same loss each time, does not change the training, and has a smaller loss once trained", async () => {
    const [once, again] = [await tried(BASE), await tried(BASE)];
    expect(again.metrics.heldOutLoss).toBe(once.metrics.heldOutLoss);
    expect(sameBits(again.delta, once.delta)).toBe(true);
    expect(once.examples).toBe(trained.length);
    const better = BASE.map((value, i) => value + (once.delta[i] ?? NaN));
    expect((await tried(better)).metrics.heldOutLoss).toBeLessThan(once.metrics.heldOutLoss ?? NaN);
  });

  it("is not trained from if it is no good, nor after the last round", async () => {
    const { heldOutLoss } = (await tried(BASE)).metrics;
    const broken = await tried(BASE.map(() => 1e30));
    expect(broken.metrics).toMatchObject({ heldOutLoss: MOST_LOSS, updateNorm: 0 });
    const last = await tried(BASE, plan.rounds + 1);
    expect(last.delta.every((value) => value === 0)).toBe(true);
    expect(last.metrics.heldOutLoss).toBe(heldOutLoss);
  });
});
