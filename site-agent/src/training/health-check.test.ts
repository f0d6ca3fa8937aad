import { healthOfSite } from "@consilium/shared/health/extras";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import { genesis } from "./genesis.ts";
import { HealthCheck } from "./health-check.ts";
import { toyCache, toyPlan } from "./testing/toy.ts";

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
