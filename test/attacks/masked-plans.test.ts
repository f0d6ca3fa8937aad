/** What plans add to a masked round, on real agents and a real coordinator: models that are tried, and privacy by site. */
import { siteNoiseMultiplier } from "@consilium/shared/privacy/site-noise";
import type { PlanInput } from "@consilium/shared/plan";
import { afterEach, expect, it } from "vitest";
import { privacyLedger } from "../../site-agent/src/privacy/ledger.ts";
import { writePrivacyPolicy } from "../../site-agent/src/privacy/policy.ts";
import { writeToyCache } from "../../site-agent/src/training/testing/toy.ts";
import type { LocalRoundRequest, Trainer } from "../../site-agent/src/training/types.ts";
import { arithmeticTrainer } from "../support/federation.ts";
import { Stage } from "./support/stage.ts";

const NAMES = ["a", "b", "c"] as const;

let stage: Stage | null = null;
afterEach(async () => {
  await stage?.strike();
  stage = null;
});

async function set(plan: Partial<PlanInput> & Pick<PlanInput, "rounds">): Promise<Stage> {
  stage = await Stage.set(NAMES, {
    minSites: NAMES.length,
    aggregation: { secure: "masked", examplesCap: 10 },
    ...plan,
  });
  return stage;
}

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

/** The arithmetic trainer's initial model. */
const genesis = (elements: number): Float32Array =>
  Float32Array.from({ length: elements }, (_, i) => i / elements);

/** How far a model is above the initial one, in each weight alike. */
const riseOf = (base: Float32Array): number => mean(base) - mean(genesis(base.length));

const STEP = 1e-4;

/** A site that goes the wrong way first, and the other way once that was taken back. Models are worse the higher they are. */
function tryingTrainer(offset: number, tried: number[]): Trainer {
  const up = arithmeticTrainer(STEP);
  const down = arithmeticTrainer(-STEP);
  return {
    ...up,
    async train(request: LocalRoundRequest, onProgress, signal) {
      const wrong = tried.length < 2;
      const heldOutLoss = 3 + offset + riseOf(request.base) / STEP;
      tried.push(heldOutLoss);
      const result = await (wrong ? up : down).train(request, onProgress, signal);
      return { ...result, metrics: { ...result.metrics, heldOutLoss } };
    },
  };
}

it("a model that does worse at the sites is taken back, though each site's loss is known to it alone", async () => {
  const on = await set({ rounds: 2, acceptance: { tolerance: 0.05 } });
  const tried = NAMES.map((): number[] => []);
  // Apart by much more than the tolerance: the verdict is on the mean.
  on.play(Object.fromEntries(NAMES.map((name, i) => [name, tryingTrainer(i - 1, tried[i] ?? [])])));
  const model = await on.globalModel("a");

  const verdicts = on.facts.flatMap((fact) => (fact.fact === "model.tried" ? [fact.verdict] : []));
  const [first, second, third] = verdicts;
  expect(verdicts.map(({ accepted }) => accepted)).toEqual([true, false, true]);
  expect(first?.loss).toBeCloseTo(3, 2);
  expect(second?.loss).toBeCloseTo(4, 2);
  expect(second?.before?.checkpoint).toBe(first?.checkpoint);
  expect(third?.loss).toBeCloseTo(2, 2);
  // On the initial model, on the one that was taken back, on the initial one again, and on the last.
  for (const [i, losses] of tried.entries()) {
    expect(losses.map((loss) => Math.round(loss))).toEqual([3, 4, 3, 2].map((loss) => loss + i - 1));
  }
  // Nothing of both rounds that went is left.
  for (const [i, value] of genesis(model.length).entries()) expect(model[i]).toBeCloseTo(value - STEP, 6);
  // The coordinator has vectors that look like noise, and no site's loss.
  expect(on.facts.some(({ fact }) => fact === "contribution.accepted")).toBe(false);
});

it("with privacy by site the sum has the noise that was paid for, around updates that were cut to the norm", async () => {
  const ELEMENTS = 1000;
  const CLIP = 0.01;
  const privacy = { unit: "site", noiseMultiplier: 0.05, delta: 1e-6, clipL2Norm: CLIP } as const;
  const on = await set({ rounds: 1, privacy });
  for (const { site } of on.actors) {
    await writeToyCache(site.home.cacheFolder("train"), 10);
    // So little noise, for the mean to be seen, is not what a site allows unless it is told to.
    await writePrivacyPolicy(site.home.privacyPolicyFile, {
      schemaVersion: 1,
      maxEpsilon: 1000,
      delta: 1e-6,
      required: true,
    });
  }
  const deltas = [1e-4, 5e-4, 9e-4];
  on.play(Object.fromEntries(NAMES.map((name, i) => [name, arithmeticTrainer(deltas[i] ?? 0, ELEMENTS)])));
  const model = await on.globalModel("a");

  const most = CLIP / Math.sqrt(ELEMENTS);
  const expected = mean(deltas.map((delta) => Math.min(delta, most)));
  const moved = model.map((value, i) => value - i / ELEMENTS);
  const stdDev = (siteNoiseMultiplier(privacy, 1) * CLIP) / NAMES.length;
  const measured = Math.sqrt(mean(moved.map((value) => (value - mean(moved)) ** 2)));
  // Five standard errors of either.
  expect(Math.abs(mean(moved) - expected)).toBeLessThan((5 * stdDev) / Math.sqrt(ELEMENTS));
  expect(Math.abs(measured / stdDev - 1)).toBeLessThan(5 / Math.sqrt(2 * ELEMENTS));
  for (const { site } of on.actors) {
    const payments = await privacyLedger(site.home.privacyLedgerFile).payments();
    expect(payments).toMatchObject([{ round: 1, unit: "site", noiseMultiplier: 0.05, clipL2Norm: CLIP }]);
  }
});

it("with privacy by site no update leaves a site whose own limit the round would exceed", async () => {
  const on = await set({ rounds: 1, privacy: { unit: "site", noiseMultiplier: 0.05, clipL2Norm: 0.01 } });
  for (const { site } of on.actors) await writeToyCache(site.home.cacheFolder("train"), 10);
  on.play();
  for (const { name, proxy } of on.actors) {
    expect(await on.failure(name)).toMatchObject({ code: "privacy.budget-spent" });
    expect(proxy.said("mask")).toEqual([]);
  }
});
