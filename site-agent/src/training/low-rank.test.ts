/** Training the factors of matrices of low rank: what is sent is small, what is meant is the whole model. */
import { sha256 } from "@consilium/shared/canonical";
import { addProduct, drawFactor, drawOf, factorName } from "@consilium/shared/low-rank";
import { vectorLength } from "@consilium/shared/manifest";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { applyUpdate } from "@consilium/shared/trained-part";
import { concatenate, tensorViews } from "@consilium/shared/vector";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { createEngine } from "../engine/engine.ts";
import { EXAMPLE_WEIGHT } from "../engine/program.ts";
import type { Engine, StepOptions, TrainStepDefinition } from "../engine/types.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig } from "../model/sizes.ts";
import { pretextTask } from "../pretext/index.ts";
import { sharedWeights, trainedOf, weightsAtSite } from "../pretext/sharing.ts";
import type { PretextTask } from "../pretext/types.ts";
import { runToEnd, trainLocally } from "./local-round.ts";
import { adamWOptions, compilePretextStep } from "./pretext-step.ts";
import type { Resume, TrainingPoint } from "./resume.ts";
import { roundBatches } from "./round-batches.ts";
import type { LocalRoundResult } from "./types.ts";
import { toyCache, toyImages, toyPlan } from "./testing/toy.ts";

const start = { sha256: sha256("start"), bytes: 5, format: "checkpoint" } as const;
const lowRank = { rank: 2, alpha: 4 };
const decoder = { width: 16, depth: 1, heads: 2 };
const projector = { hidden: 16, width: 8 };
const BATCH = 8;
const TINY = { width: 8, depth: 1, heads: 2 };
const planOf = (pretext: object, training: object = {}): Plan => {
  const whole = toyPlan({ batchSize: BATCH });
  return parsePlan({ ...whole, start, pretext, training: { ...whole.training, ...training } });
};
const tasks = (pretext: object): readonly [plain: PretextTask, factored: PretextTask] => {
  const [plan, small] = [planOf(pretext), planOf(pretext, { lowRank })];
  const encoder = { ...vitConfig(plan.model), ...TINY };
  return [pretextTask(plan, encoder), pretextTask(small, encoder)];
};
const definitionOf = (task: PretextTask): TrainStepDefinition => ({
  parameters: task.parameters,
  inputs: task.inputs(BATCH),
  loss: (weights, inputs) => task.loss(weights, inputs),
  separable: task.separable,
  optimizer: adamWOptions(toyPlan()),
});
const NONE = new Float32Array();
const classes = Int32Array.from({ length: BATCH }, (_, i) => i % 2);
const answers = { kind: "classes" as const, classes, weights: new Float32Array(BATCH).fill(1) };

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1, device: "cpu" });
});

describe.each([
  { task: "mae", maskRatio: 0.5, decoder },
  { task: "mocov3", projector, momentum: 0.5 },
  { task: "classify", classes: ["even", "odd"] },
])("the factors that $task trains", (pretext) => {
  const [plain, factored] = tasks(pretext);
  const draw = drawOf(planOf(pretext, { lowRank }));
  const atStart = () =>
    weightsAtSite(factored, sharedWeights(plain, plain.initialWeights(1)), { kept: NONE, draw });
  const batch = factored.prepare(toyImages(BATCH), new Random(3), answers);

  it("do what the matrices with their product added would do, a teacher's as well", async () => {
    const step = await engine.compileTrainStep(definitionOf(factored));
    await step.writeWeights(atStart());
    for (let i = 0; i < 3; i++) await step.run(batch, 1e-2);
    const all = await step.readWeights();
    const before = tensorViews(manifestOf(factored.parameters), atStart());
    const views = tensorViews(manifestOf(factored.parameters), all);
    const moved: string[] = [];
    const merged = plain.parameters.map(({ name, shape }) => {
      const values = Float32Array.from(views.get(name) ?? []);
      const factor = views.get(factorName(name));
      if (factor === undefined) return values;
      moved.push(name);
      expect(values, "the matrix itself stays").toEqual(before.get(name));
      expect(
        factor.some((value) => value !== 0),
        name,
      ).toBe(true);
      const weight = name.replace(/^teacher\./, "");
      addProduct(values, 0, {
        drawn: drawFactor({ seed: 1, ...lowRank }, weight, shape[0] ?? 1),
        factor,
        rank: 2,
      });
      return values;
    });
    expect(moved).toHaveLength(4 * (pretext.task === "mocov3" ? 2 : 1));
    const whole = await engine.compileTrainStep(definitionOf(plain));
    await whole.writeWeights(concatenate(merged));
    const [expected, { loss }] = [await whole.run(batch, 0), await step.run(batch, 0)];
    expect(loss / expected.loss).toBeCloseTo(1, 4);
    await Promise.all([whole.dispose(), step.dispose()]);
  });

  it("have the same gradient computed twice, and added up of single images", async () => {
    const norm = async (options: StepOptions, more: object = {}): Promise<number> => {
      const step = await engine.compileTrainStep(definitionOf(factored), options);
      await step.writeWeights(atStart());
      await step.run({ ...batch, ...more }, 1e-2); // Then the factors are no zeros.
      const { gradientNorm } = await step.run({ ...batch, ...more }, 1e-2);
      await step.dispose();
      return gradientNorm;
    };
    const once = await norm({});
    expect((await norm({ recompute: true })) / once).toBeCloseTo(1, 4);
    if (!factored.separable) return;
    const drawNoise = (out: Float32Array): void => void out.fill(0);
    const clipping = { examples: BATCH, clipL2Norm: 1e3, noiseStdDev: 0, expectedExamples: BATCH, drawNoise };
    const single = await norm({ privacy: clipping }, { [EXAMPLE_WEIGHT]: new Float32Array(BATCH).fill(1) });
    expect(single / once).toBeCloseTo(1, 2);
  });
});

describe("a local round of low rank", () => {
  it("lowers the loss round by round with a small update, and goes on from where it was killed", async () => {
    const { pretext } = toyPlan();
    const plan = planOf(pretext, {
      lowRank: { rank: 4 },
      localEpochs: 4,
      proximalMu: 0.01,
      learningRate: 3e-3,
    });
    const compiled = await compilePretextStep(
      engine,
      plan,
      {},
      { ...vitConfig(plan.model), ...TINY, width: 32 },
    );
    const { task } = compiled;
    const part = trainedOf(task, plan);
    const base = sharedWeights(task, task.initialWeights(1));
    const cache = toyCache(16);
    const train = (
      round: number,
      optimizerState: TrainingPoint["optimizerState"] | null,
      resume: Resume | null,
    ) =>
      trainLocally(
        { plan, round, base, optimizerState },
        {
          compiled,
          cache,
          batches: roundBatches({ plan, round, seed: 1 }, task, cache),
          now: () => 0,
          resume,
        },
      );
    const losses: number[] = [];
    let state: TrainingPoint["optimizerState"] | null = null;
    for (let round = 1; round <= 3; round++) {
      const result: LocalRoundResult = await runToEnd(train(round, state, null), () => undefined);
      expect(result.delta).toHaveLength(vectorLength(part.manifest));
      losses.push(result.metrics.loss);
      if (round === 3) {
        // Killed after five of eight steps, and once more to the end.
        const kept: { point: TrainingPoint | null } = { point: null };
        const resume: Resume = {
          everyMs: 0,
          read: () => Promise.resolve(kept.point),
          write: (point) => {
            kept.point = structuredClone(point);
            return Promise.resolve();
          },
        };
        const killed = new AbortController();
        const work = runToEnd(
          train(round, state, resume),
          ({ step }) => {
            if (step === 5) killed.abort();
          },
          killed.signal,
        );
        await expect(work).rejects.toThrow();
        expect(kept.point).not.toBeNull();
        const { delta } = await runToEnd(train(round, state, resume), () => undefined);
        const off = delta.reduce((most, v, i) => Math.max(most, Math.abs(v - (result.delta[i] ?? NaN))), 0);
        expect(off).toBeLessThan(1e-4);
      }
      applyUpdate(base, result.delta, part, drawOf(plan));
      state = result.optimizerState;
    }
    expect(losses[2]).toBeLessThan(0.9 * (losses[0] ?? 0));
    await compiled.step.dispose();
  });
});
