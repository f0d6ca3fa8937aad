import { evaluationOfSums } from "@consilium/shared/evaluation/extras";
import { healthOfSite } from "@consilium/shared/health/extras";
import { parsePlan } from "@consilium/shared/plan";
import { roundExtras, roundLayout } from "@consilium/shared/secagg/plan-layout";
import { consortium } from "@consilium/shared/secagg/testing/consortium";
import { runAttempt } from "@consilium/shared/secagg/testing/run";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MaskSet } from "../dataset/masks.ts";
import { auroc, column } from "../downstream/metrics.ts";
import { probeAnswers } from "../downstream/probe-scores.ts";
import { createEngine } from "../engine/engine.ts";
import { genesis } from "./genesis.ts";
import { HealthCheck } from "./health-check.ts";
import { toyCache, toyPlan, toyRecord, TOY_CACHE_PX } from "./testing/toy.ts";

const IMAGES = 240;
const rest = toyPlan();
const PLAN = parsePlan({ ...rest, health: { images: 64 }, acceptance: { heldOutShare: 0.25 } });
const BASE = genesis(PLAN).values;
const CACHE = toyCache(IMAGES);
const never = new AbortController().signal;

describe("a look at the global model", () => {
  let check: HealthCheck;
  beforeAll(async () => {
    check = await HealthCheck.compile(await createEngine({ threads: 1, device: "cpu" }), PLAN);
  });
  afterAll(() => check.dispose());

  it("gives moments of unit features, and a loss on images that nobody trains on beside that of the mean answer", async () => {
    const found = await check.look(BASE, { cache: CACHE, labels: new Map(), signal: never });
    const summary = healthOfSite(found);
    expect(summary?.width).toBe(128);
    expect(summary?.rankMe).toBeGreaterThan(1);
    expect(summary?.alignment).toBeGreaterThan(0);
    expect(found.moments?.second).toHaveLength((128 * 129) / 2);
    // The squared length of a unit feature is 1, and so is its mean.
    const diagonal = Array.from({ length: 128 }, (_, i) => found.moments?.second[(i * (i + 3)) / 2] ?? NaN);
    expect(diagonal.reduce((sum, v) => sum + v, 0)).toBeCloseTo(1, 6);
    expect(found.heldOut?.meanAnswerLoss).toBeGreaterThan(0.1);
    // Untrained.
    expect(found.heldOut?.loss).toBeGreaterThan(found.heldOut?.meanAnswerLoss ?? NaN);
    expect(found.labelled).toBeNull();
  });

  it("is the same for the same model, and scores labels where there are some", async () => {
    const labels = new Map(
      CACHE.records.map(({ image }, i): [string, string] => [image, i % 2 === 0 ? "even" : "odd"]),
    );
    const first = await check.look(BASE, { cache: CACHE, labels, signal: never });
    const again = await check.look(BASE, { cache: CACHE, labels, signal: never });
    expect(again).toEqual(first);
    for (const share of Object.values(first.labelled ?? { none: NaN })) {
      expect(share).toBeGreaterThan(0.2);
      expect(share).toBeLessThan(0.9);
    }
  });

  it("ends between two batches when it is cancelled", async () => {
    const controller = new AbortController();
    controller.abort();
    const looked = check.look(BASE, { cache: CACHE, labels: new Map(), signal: controller.signal });
    await expect(looked).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("a common evaluation", () => {
  const CLASSES = ["normal", "bright"];
  const EVALUATED = parsePlan({
    ...rest,
    health: { images: 64, leastSpread: 0, evaluation: { classes: CLASSES, images: 200 } },
  });
  /** As long as the body of the vector; what is in it does not matter here. */
  const MAGNITUDES = [{ name: "weight", shape: [3], largest: 0.5 }];
  const METRICS = { loss: 1, finalLoss: 1, updateNorm: 1, steps: 3, trainingMs: 1 };
  let check: HealthCheck;
  beforeAll(async () => {
    check = await HealthCheck.compile(await createEngine({ threads: 1, device: "cpu" }), EVALUATED);
  });
  afterAll(() => check.dispose());

  /** Some images of the toy set; the brighter ones are of the second class, with one in ten labelled wrongly. */
  function hospital(first: number, count: number) {
    const indices = Array.from({ length: count }, (_, i) => first + i);
    const cache = {
      ...CACHE,
      records: indices.map((index) => CACHE.records[index] ?? toyRecord(index)),
      read: (places: Int32Array, out: Uint8Array) => {
        CACHE.read(
          places.map((place) => indices[place] ?? 0),
          out,
        );
      },
    };
    const pixels = new Uint8Array(count * TOY_CACHE_PX ** 2);
    cache.read(Int32Array.from(indices.keys()), pixels);
    const brightness = indices.map((_, i) =>
      pixels.subarray(i * TOY_CACHE_PX ** 2, (i + 1) * TOY_CACHE_PX ** 2).reduce((sum, v) => sum + v, 0),
    );
    const middle = brightness.toSorted((a, b) => a - b)[Math.floor(count / 2)] ?? NaN;
    const labels = new Map(
      cache.records.map(({ image }, i): [string, string] => {
        const isBright = (brightness[i] ?? 0) > middle !== (i % 10 === 0);
        return [image, isBright ? "bright" : "normal"];
      }),
    );
    return { cache, labels, signal: never };
  }

  it("of three hospitals' masked sum is the AUROC of their pooled scores within .002; without labels a site adds nothing", async () => {
    const hospitals = [hospital(0, 90), hospital(90, 80), hospital(170, 70)];
    const unlabelled = { ...hospital(0, 60), labels: new Map<string, string>() };
    const sites = [...hospitals, unlabelled];
    const found = await Promise.all(sites.map((site) => check.look(BASE, site)));
    expect(found.map(({ scores }) => scores === null)).toEqual([false, false, false, true]);

    const layout = roundLayout(EVALUATED, 1, sites.length, MAGNITUDES);
    const members = consortium(layout);
    const names = [...members.members.keys()];
    const { aggregate } = runAttempt(members, (name) => {
      const at = names.indexOf(name);
      const extras = roundExtras(EVALUATED, METRICS, found[at] ?? null);
      const roundingKey = new Uint8Array(32).fill(at + 1);
      return { update: new Float32Array(3), examples: 60, extras, roundingKey };
    });
    const round = evaluationOfSums(aggregate.extras);

    // In one place: what no coordinator ever has.
    const features = await Promise.all(hospitals.map((site) => check.labelledFeatures(BASE, site)));
    const answers = features.flatMap((site) => probeAnswers(site, CLASSES, 0.5) ?? []);
    const scores = answers.flatMap(({ probabilities }) => [...column(probabilities, 2, 1)]);
    const truth = answers.flatMap(({ labels }) => labels.map((label) => Number(label === "bright")));
    const pooled = auroc(scores, truth)() ?? NaN;
    const [bright] = round?.classes ?? [];
    expect(round?.sites).toBe(3);
    expect((bright?.positives ?? 0) + (bright?.negatives ?? 0)).toBe(scores.length);
    expect(Math.abs((bright?.auroc?.value ?? NaN) - pooled)).toBeLessThan(0.002);
    expect(pooled).toBeGreaterThan(0.6);
  });
});

describe("a common evaluation of masks", () => {
  const CLASSES = ["blob"];
  const EVALUATED = parsePlan({
    ...rest,
    health: { images: 32, leastSpread: 0, masks: { classes: CLASSES } },
  });
  let check: HealthCheck;
  beforeAll(async () => {
    check = await HealthCheck.compile(await createEngine({ threads: 1, device: "cpu" }), EVALUATED);
  });
  afterAll(() => check.dispose());

  /** Masks of what is bright in the first images of the toy set, beside masks of something else. */
  function masksOf(count: number): MaskSet {
    const area = TOY_CACHE_PX ** 2;
    const pixels = new Uint8Array(area);
    return {
      classes: ["other", ...CLASSES],
      sizePx: TOY_CACHE_PX,
      depthPx: 1,
      images: new Set(CACHE.records.slice(0, count).map(({ image }) => image)),
      known: new Map(CACHE.records.slice(0, count).map(({ image }) => [image, new Set(CLASSES)])),
      read: (image, out) => {
        CACHE.read([CACHE.records.findIndex((record) => record.image === image)], pixels);
        out.fill(0, 0, area);
        out.set(
          pixels.map((value) => (value > 110 ? 255 : 0)),
          area,
        );
      },
      close: () => undefined,
    };
  }

  it("finds them well above chance, the same each time, and takes no part without masks of every class", async () => {
    const look = (masks: MaskSet | null) =>
      check.look(BASE, { cache: CACHE, labels: new Map(), masks, signal: never });
    const { overlaps } = await look(masksOf(80));
    expect((await look(masksOf(80))).overlaps).toEqual(overlaps);
    const [intersection = NaN] = overlaps?.intersections ?? [];
    const [size = NaN] = overlaps?.sizes ?? [];
    expect((2 * intersection) / size).toBeGreaterThan(0.6);
    expect(overlaps?.images).toBeGreaterThan(25);
    expect((await look(masksOf(10))).overlaps).toBeNull();
    expect((await look({ ...masksOf(80), known: masksOf(10).known })).overlaps).toBeNull();
    expect((await look({ ...masksOf(80), classes: ["other"] })).overlaps).toBeNull();
    expect((await look(null)).overlaps).toBeNull();
  });
});
