import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import { createEngine } from "../engine.ts";
import { expectClose } from "../testing/compare.ts";
import type { OptimizerState, StepResult, TrainStep } from "../types.ts";
import { startReplicas } from "./replica-group.ts";
import { LENGTH, WIDTH, smallNetwork, type SmallInputs, type SmallRecipe } from "./testing/small-network.ts";

const SCRIPT = new URL("./testing/replica-script.ts", import.meta.url);
const ENGINE = { threads: 1, device: "cpu" } as const;
const EXAMPLES = 4;

interface GroupSettings {
  readonly replicas: number;
  readonly microBatches?: number;
  readonly ending?: SmallRecipe["ending"];
}

function start({
  replicas,
  microBatches = 1,
  ending = null,
}: GroupSettings): Promise<TrainStep<SmallInputs>> {
  const recipe: SmallRecipe = { examples: EXAMPLES / (replicas * microBatches), ending };
  return startReplicas({
    script: SCRIPT,
    recipe,
    definition: smallNetwork(recipe.examples),
    engines: Array.from({ length: replicas }, () => ENGINE),
    options: { microBatches },
  });
}

const random = new Random(1);
const normal = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
const WEIGHTS = normal(LENGTH);
const BATCHES = [1, 2, 3].map(() => ({ x: normal(EXAMPLES * WIDTH) }));
const [BATCH = { x: new Float32Array() }] = BATCHES;

interface Trained {
  readonly results: readonly StepResult[];
  readonly weights: Float32Array;
  readonly state: OptimizerState;
}

/** A few steps from the same beginning. */
async function train(step: TrainStep<SmallInputs>): Promise<Trained> {
  await step.writeWeights(WEIGHTS);
  await step.writeOptimizerState(null);
  const results = [];
  for (const batch of BATCHES) results.push(await step.run(batch, 0.05));
  return { results, weights: await step.readWeights(), state: await step.readOptimizerState() };
}

function expectSameTraining(actual: Trained, expected: Trained): void {
  expected.results.forEach(({ loss, gradientNorm, metrics }, i) => {
    const { loss: otherLoss, gradientNorm: otherNorm, metrics: other } = actual.results[i] ?? {};
    expectClose([otherLoss ?? NaN], [loss], 1e-6);
    expectClose([otherNorm ?? NaN], [gradientNorm], 1e-6);
    expectClose(other?.each ?? [], metrics.each ?? [NaN], 1e-5);
    expectClose(other?.twice ?? [], metrics.twice ?? [NaN], 1e-6);
  });
  expectClose(actual.weights, expected.weights, 1e-5);
  expectClose(actual.state.firstMoment, expected.state.firstMoment, 1e-5);
  expectClose(actual.state.secondMoment, expected.state.secondMoment, 1e-5);
  expect(actual.state.step).toBe(expected.state.step);
}

let whole: Trained;
beforeAll(async () => {
  const step = await (await createEngine(ENGINE)).compileTrainStep(smallNetwork(EXAMPLES));
  whole = await train(step);
  await step.dispose();
});

describe("a step on two replicas", () => {
  let step: TrainStep<SmallInputs>;
  beforeAll(async () => {
    step = await start({ replicas: 2 });
  });
  afterAll(() => step.dispose());

  it("updates as the whole batch does, with the same bits every time", async () => {
    const first = await train(step);
    expectSameTraining(first, whole);
    expect(await train(step)).toEqual(first);
  });

  it("goes on from where it was left", async () => {
    await train(step);
    const [weights, state] = [await step.readWeights(), await step.readOptimizerState()];
    const result = await step.run(BATCH, 0.05);
    const after = await step.readWeights();
    await train(step);
    await step.writeWeights(weights);
    await step.writeOptimizerState(state);
    expect(await step.run(BATCH, 0.05)).toEqual(result);
    expect(await step.readWeights()).toEqual(after);
  });

  it.each([0, EXAMPLES - 1])(
    "leaves everything as it was when example %i is no number, and goes on after that",
    async (example) => {
      const { weights, state } = await train(step);
      const bad = BATCH.x.slice();
      bad[example * WIDTH] = NaN;
      await expect(step.run({ x: bad }, 0.05)).rejects.toMatchObject({ code: "training.diverged" });
      expect(await step.readWeights()).toEqual(weights);
      expect(await step.readOptimizerState()).toEqual(state);
      await step.run(BATCH, 0.05);
      expect(await step.readWeights()).not.toEqual(weights);
    },
  );

  it("refuses a batch that is not made of two parts", async () => {
    const run = step.run({ x: new Float32Array(3 * WIDTH) }, 0.05);
    await expect(run).rejects.toMatchObject({ code: "engine.run-failed", culprits: ["x"] });
  });
});

it("a step on one replica is the plain step, bit by bit", async () => {
  const step = await start({ replicas: 1 });
  expect(await train(step)).toEqual(whole);
  await step.dispose();
});

describe("replicas that compute their parts in micro-batches", () => {
  let step: TrainStep<SmallInputs>;
  beforeAll(async () => {
    step = await start({ replicas: 2, microBatches: 2, ending: { replica: 0, run: BATCHES.length + 1 } });
  });
  afterAll(() => step.dispose());

  it("update as the whole batch does; and when one ends in the middle of a step, nothing hangs", async () => {
    const before = await train(step);
    expectSameTraining(before, whole);
    const lost = { code: "engine.replica-lost", detail: "(1 of 2)" };
    await expect(step.run(BATCH, 0.05)).rejects.toMatchObject(lost);
    expect(await step.readWeights()).toEqual(before.weights);
    expect(await step.readOptimizerState()).toEqual(before.state);
    await expect(step.run(BATCH, 0.05)).rejects.toMatchObject(lost);
  });
});

it("a group whose script cannot start says so", async () => {
  const failing = startReplicas({
    script: new URL("./testing/missing.ts", import.meta.url),
    recipe: null,
    definition: smallNetwork(1),
    engines: [ENGINE, ENGINE],
  });
  await expect(failing).rejects.toMatchObject({ code: "engine.replica-lost" });
});
