/** Heads that stay at their sites: two of them call the same pictures by opposite names, and learn from one encoder. */
import { parsePlan } from "@consilium/shared/plan";
import { vectorLength } from "@consilium/shared/manifest";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import { manifestOf } from "../model/manifest.ts";
import { vitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { keptAtStart, sharedParameters, sharedWeights, trainedOf } from "../pretext/sharing.ts";
import { runToEnd, trainLocally } from "./local-round.ts";
import { compilePretextStep, type PretextStep } from "./pretext-step.ts";
import { roundBatches } from "./round-batches.ts";
import { trialBatches } from "./trial.ts";
import { sameBits, toyCache, toyPlan } from "./testing/toy.ts";
import type { LocalRoundResult } from "./types.ts";

const whole = toyPlan();
const PLAN = parsePlan({
  ...whole,
  pretext: { task: "classify", classes: ["left", "right"], head: "site", flip: false },
  training: { ...whole.training, localEpochs: 4, learningRate: 3e-3 },
  acceptance: { heldOutShare: 0.3 },
});
const ENCODER = { ...vitConfig(PLAN.model), width: 32, depth: 1, heads: 4 };
const IMAGES = 40;

/** Bright images are of one class at the first site, and of the other at the second. */
function cacheOf(site: number) {
  const cache = toyCache(IMAGES);
  const bright = Array.from({ length: IMAGES }, (_, i) => {
    const pixels = new Uint8Array(400);
    cache.read(Int32Array.of(i), pixels);
    return pixels.reduce((sum, value) => sum + value, 0);
  });
  const median = bright.toSorted((a, b) => a - b)[IMAGES / 2] ?? 0;
  return {
    ...cache,
    answers: (indices: ArrayLike<number>) => ({
      kind: "classes" as const,
      classes: Int32Array.from(indices, (i) => Number((bright[i] ?? 0) > median) ^ site),
      weights: new Float32Array(indices.length).fill(1),
    }),
  };
}
const CACHES = [cacheOf(0), cacheOf(1)] as const;

let compiled: PretextStep;
beforeAll(async () => {
  const engine = await createEngine({ threads: 1, device: "cpu" });
  compiled = await compilePretextStep(engine, PLAN, {}, ENCODER);
});
afterAll(() => compiled.step.dispose());

function train(
  site: 0 | 1,
  round: number,
  { base, kept }: { readonly base: Float32Array; readonly kept: Float32Array | null },
): Promise<LocalRoundResult> {
  const cache = CACHES[site];
  const { task } = compiled;
  const work = trainLocally(
    { plan: PLAN, round, base, optimizerState: null, kept },
    {
      compiled,
      cache,
      batches: roundBatches({ plan: PLAN, round, seed: site }, task, cache),
      trial: trialBatches(PLAN, task, cache),
      now: () => 0,
    },
  );
  return runToEnd(work, () => undefined);
}

it("an update is of the encoder alone, and a head goes on from where the site left it", async () => {
  const { task } = compiled;
  expect(sharedParameters(task).map(({ name }) => name)).toEqual(
    vitParameters(ENCODER).map(({ name }) => name),
  );
  let base = sharedWeights(task, task.initialWeights(PLAN.seed));
  const { manifest } = trainedOf(task, PLAN);
  expect(vectorLength(manifest)).toBe(vectorLength(manifestOf(vitParameters(ENCODER))));
  const start = keptAtStart(task, PLAN, null);
  let heads: (Float32Array | null)[] = [null, null];
  const heldOut: number[][] = [];
  for (let round = 1; round <= PLAN.rounds + 1; round++) {
    const both = [
      await train(0, round, { base, kept: heads[0] ?? null }),
      await train(1, round, { base, kept: heads[1] ?? null }),
    ];
    heldOut.push(both.map(({ metrics }) => metrics.heldOutLoss ?? NaN));
    if (round > PLAN.rounds) {
      // Nobody trains any more.
      expect(both.map(({ kept }) => kept)).toEqual(heads);
      break;
    }
    for (const { delta, kept } of both) {
      expect(delta).toHaveLength(base.length);
      expect(sameBits(kept ?? start, start)).toBe(false);
    }
    base = base.map((weight, i) => weight + both.reduce((sum, { delta }) => sum + (delta[i] ?? NaN) / 2, 0));
    heads = both.map(({ kept }) => kept ?? null);
  }
  // A trial is of the site's own head; one head could not do better than even odds for both.
  const [first = [], last = []] = [heldOut[0], heldOut.at(-1)];
  for (const [site, loss] of last.entries()) {
    expect(first[site]).toBeCloseTo(Math.log(2), 4);
    expect(loss).toBeLessThan(0.6);
  }
  const swapped = await train(0, PLAN.rounds + 1, { base, kept: heads[1] ?? null });
  expect(swapped.metrics.heldOutLoss).toBeGreaterThan(Math.log(2));
});

it("weights of another head are not taken", async () => {
  const base = sharedWeights(compiled.task, compiled.task.initialWeights(PLAN.seed));
  await expect(train(0, 1, { base, kept: new Float32Array(3) })).rejects.toMatchObject({
    code: "manifest.mismatch",
  });
});
