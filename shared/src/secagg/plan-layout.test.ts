import { describe, expect, it } from "vitest";
import type { Round } from "../ids.ts";
import { parsePlan, type Plan } from "../plan.ts";
import { healthOfMeans, type SiteHealth } from "../health/extras.ts";
import { patientsOfSums } from "../health/patients.ts";
import { featureHealth, MomentSums } from "../health/moments.ts";
import { decodeTail } from "./decode.ts";
import { encoder } from "./encode.ts";
import { geometryOf, layoutHash } from "./layout.ts";
import { repeatedExtras, roundExtras, roundLayout } from "./plan-layout.ts";

const plan = (aggregation: object = {}) =>
  parsePlan({ federation: "lungs", title: "Lungs", rounds: 10, aggregation });
const magnitudes = [{ name: "weight", shape: [3], largest: 0.5 }];

it("follows from plan, round, cohort and base, and from nothing else", () => {
  const hash = (
    ...[p = plan(), round = 2, sites = 3, largest = 0.5]: [
      ReturnType<typeof plan>?,
      number?,
      number?,
      number?,
    ]
  ) => layoutHash(roundLayout(p, round, sites, [{ name: "weight", shape: [3], largest }]));
  expect(hash()).toBe(hash());
  const others = [hash(plan({ linkBits: 16 })), hash(plan(), 3), hash(plan(), 2, 4), hash(plan(), 2, 3, 0.6)];
  expect(new Set([hash(), ...others]).size).toBe(5);
});

it("leaves room for every step of a site as large as the cap, and rounds it so that runtimes agree", () => {
  const [range] = roundLayout(plan({ examplesCap: 320 }), 2, 3, magnitudes).tensors;
  // Ten steps at the peak of 1e-3, each of up to 1.1645.
  expect(range?.bound).toBeGreaterThan(0.011645);
  expect(range?.bound).toBeLessThan(0.013);
  expect(String(range?.bound).replace(/^0\.0*/, "").length).toBeLessThanOrEqual(6);
});

it("refuses a cohort that a narrow link has no room for", () => {
  expect(() => roundLayout(plan({ linkBits: 16 }), 2, 3000, magnitudes)).toThrow(
    expect.objectContaining({ code: "plan.invalid" }) as Error,
  );
});

describe("health", () => {
  const metrics = { loss: 1, finalLoss: 1, updateNorm: 1, steps: 3, trainingMs: 1 };
  const WIDTH = 128;
  const featureOf = (image: number): number[] =>
    Array.from({ length: WIDTH }, (_, i) => Math.sin((image + 1) * (i + 1)) + 0.3);

  /** Of images first .. first + count - 1. */
  function site(first: number, count: number, others: Partial<SiteHealth> = {}) {
    const sums = new MomentSums(WIDTH);
    for (let image = first; image < first + count; image++) sums.add(featureOf(image), featureOf(image + 1));
    const health: SiteHealth = { moments: sums.means(), heldOut: null, labelled: null, ...others };
    return { examples: count, health };
  }

  function summed(sites: readonly { examples: number; health: SiteHealth | null }[], p = plan()) {
    const layout = roundLayout(p, 1, sites.length, magnitudes);
    const geometry = geometryOf(layout);
    const sum = new Int32Array(geometry.tailWords);
    for (const [i, { examples, health }] of sites.entries()) {
      const { tail } = encoder(layout, {
        update: new Float32Array(3),
        examples,
        extras: roundExtras(p, metrics, health),
        roundingKey: new Uint8Array(32).fill(i + 1),
      });
      for (const [at, word] of new Int32Array(tail(0).buffer).entries()) sum[at] = (sum[at] ?? 0) + word;
    }
    return healthOfMeans(decodeTail(layout, sites.length, new Uint8Array(sum.buffer)).extras);
  }

  it("out of the masked sum is that of all images together, and of those that were looked at alone", () => {
    const heldOut = { loss: 0.5, meanAnswerLoss: 1 };
    const labelled = { neighbours: 0.9, probe: 0.8, commonest: 0.6 };
    const blind = { examples: 500, health: null };
    const found = summed([site(0, 300, { heldOut }), site(300, 100, { labelled }), blind]);
    const together = new MomentSums(WIDTH);
    for (let image = 0; image < 400; image++) together.add(featureOf(image), featureOf(image + 1));
    const exact = featureHealth(together.means());
    for (const name of ["rankMe", "participationRatio", "featureStdDev", "alignment"] as const) {
      expect((found?.[name] ?? NaN) / exact[name], name).toBeCloseTo(1, 3);
    }
    for (const [name, value] of Object.entries({ ...labelled, heldOutLoss: 0.5, meanAnswerLoss: 1 })) {
      expect(found?.[name as "probe"], name).toBeCloseTo(value, 5);
    }
  });

  it("is none where nobody looked, and no field at all where the plan or its privacy forbids", () => {
    const blind = { examples: 10, health: null };
    expect(summed([blind, blind, blind])).toBeNull();
    const names = (p: Plan) => roundLayout(p, 1, 3, magnitudes).extras.map(({ name }) => name);
    expect(names(plan()).some((name) => name.startsWith("health:"))).toBe(true);
    const forbidding = [{ health: null }, { privacy: { unit: "patient", targetEpsilon: 8 } }];
    for (const change of forbidding) {
      const p = parsePlan({ ...plan(), ...change });
      expect(names(p).some((name) => name.startsWith("health:"))).toBe(false);
    }
  });
});

it("counts patients where the plan asks, and not where it does not mask or protects them", () => {
  const counting = parsePlan({ ...plan(), health: { patients: true } });
  const metrics = { loss: 1, finalLoss: 1, updateNorm: 1, steps: 3, trainingMs: 1 };
  const health = { moments: null, heldOut: null, labelled: null, patients: 7 };
  const sums = (values: Record<string, ArrayLike<number>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Float64Array.from(value)]));
  expect(patientsOfSums(sums(roundExtras(counting, metrics, health)))).toEqual({ sites: 1, count: 7 });
  const again = repeatedExtras(counting, { round: 2 as Round }, metrics);
  expect(patientsOfSums(sums(again))).toBeNull();
  const changes = [
    { health: {} },
    { aggregation: { secure: "plain" } },
    { privacy: { unit: "patient", targetEpsilon: 8 } },
  ];
  for (const change of changes) {
    const silent = parsePlan({ ...counting, ...change });
    const { extras } = roundLayout(silent, 1, 3, magnitudes);
    expect(extras.some(({ name }) => name.startsWith("patients:"))).toBe(false);
    expect(patientsOfSums(sums(roundExtras(silent, metrics, health)))).toBeNull();
  }
  expect(() => patientsOfSums(sums({ "patients:sites": [2], "patients:trained": [1] }))).toThrow("sum");
});

it("gives a second sum of a round what training made, and nothing that a look at the same model finds again", () => {
  const tried = parsePlan({
    ...plan(),
    acceptance: { heldOutShare: 0.1 },
    health: { evaluation: { classes: ["a", "b"] } },
  });
  const metrics = { loss: 1, finalLoss: 2, updateNorm: 3, steps: 4, trainingMs: 5, heldOutLoss: 6 };
  expect(roundExtras(tried, metrics)).toMatchObject({
    "metric:heldOutLoss": [6],
    "metric:heldOutSites": [1],
  });
  const again = (round: number) =>
    Object.fromEntries(
      Object.entries(repeatedExtras(tried, { round: round as Round }, metrics)).filter(([, values]) =>
        Array.from(values).some((value) => value !== 0),
      ),
    );
  const made = { "metric:updateNorm": [3], "metric:steps": [4] };
  expect(again(tried.rounds)).toEqual({ "metric:loss": [1], "metric:finalLoss": [2], ...made });
  // There the losses that are told are those of the trial.
  expect(again(tried.rounds + 1)).toEqual(made);
});
