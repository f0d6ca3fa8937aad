import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { SecureRandom } from "@consilium/shared/privacy/secure-random";
import { privacyTerms, type PrivacyTerms } from "@consilium/shared/privacy/terms";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ImageCache } from "../dataset/types.ts";
import { EXAMPLE_WEIGHT } from "../engine/program.ts";
import { genesis } from "./genesis.ts";
import { drawImages, imagesByPatient, partExamples, privateBatches } from "./private-batches.ts";
import { createTrainer } from "./trainer.ts";
import { sameBits, toyCache, toyPlan, writeToyCache } from "./testing/toy.ts";

const PLAN = parsePlan({ ...toyPlan(), privacy: { unit: "patient", noiseMultiplier: 0.5 } });

function termsFor(patients: number): PrivacyTerms {
  const terms = privacyTerms(PLAN, patients);
  if (terms === null) throw new Error("the plan has privacy");
  return terms;
}

/** Three images of each patient. */
function manyImages(): ImageCache {
  const cache = toyCache(60);
  const records = cache.records.map((record, i) => ({ ...record, patient: String(Math.floor(i / 3)) }));
  return { ...cache, records };
}

describe("a batch of patients", () => {
  const TERMS = termsFor(20);

  it("holds one image at most of each patient, as many patients as the rate says", () => {
    const patients = imagesByPatient(manyImages());
    expect(patients).toHaveLength(20);
    const secure = new SecureRandom(new Uint8Array(32));
    const counts = new Array<number>(60).fill(0);
    const sizes: number[] = [];
    for (let draw = 0; draw < 3000; draw++) {
      const images = drawImages(patients, TERMS.sampleRate, secure);
      expect(new Set(images.map((image) => Math.floor(image / 3))).size).toBe(images.length);
      sizes.push(images.length);
      for (const image of images) counts[image] = (counts[image] ?? 0) + 1;
    }
    const mean = sizes.reduce((a, b) => a + b) / sizes.length;
    const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / sizes.length;
    // Binomial: 20 patients at a rate of .4; five standard errors.
    expect(Math.abs(mean - 8)).toBeLessThan(0.2);
    expect(Math.abs(variance - 4.8)).toBeLessThan(0.62);
    // Each image 3000 * .4 / 3 times.
    for (const count of counts) expect(Math.abs(count - 400)).toBeLessThan(95);
  });

  it("comes in whole parts, of which only those drawn count", () => {
    const cache = manyImages();
    const task = { prepare: (images: Uint8Array) => ({ images }) };
    const part = partExamples(PLAN, TERMS);
    expect(part).toBe(2);
    const batches = [...privateBatches(PLAN, { ...TERMS, stepsPerRound: 50 }, task, cache)];
    expect(batches).toHaveLength(50);
    for (const batch of batches) {
      const counts = [...(batch[EXAMPLE_WEIGHT] ?? [])];
      const drawn = counts.filter((count) => count === 1).length;
      expect(counts).toEqual(counts.map((_, i) => (i < drawn ? 1 : 0)));
      expect(counts.length).toBe(Math.max(1, Math.ceil(drawn / part)) * part);
      expect(batch["images"]?.length).toBe(counts.length * 20 ** 2);
    }
  });
});

describe("a round that protects patients", () => {
  const IMAGES = 24;
  const trainer = createTrainer();
  const never = new AbortController().signal;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-private-"));
    await writeToyCache(folder, IMAGES);
  });
  afterAll(async () => {
    await trainer.close();
    await rm(folder, { recursive: true, force: true });
  });

  const train = (changes: object = {}, onStep: (step: number) => void = () => undefined) =>
    trainer.train(
      {
        plan: PLAN,
        cacheDir: folder,
        round: 1,
        base: genesis(PLAN).values,
        optimizerState: null,
        seed: 1,
        engine: { threads: 1, device: "cpu" },
        privacy: termsFor(IMAGES),
        ...changes,
      },
      ({ step }) => {
        onStep(step);
      },
      never,
    );

  it("takes the steps that were paid for, and never the same ones twice", async () => {
    const steps: number[] = [];
    const first = await train({}, (step) => steps.push(step));
    expect(steps).toEqual([1, 2, 3]);
    expect(first.metrics.steps).toBe(3);
    expect(first.examples).toBe(IMAGES);
    expect(Number.isFinite(first.metrics.loss)).toBe(true);
    expect(first.delta.every(Number.isFinite)).toBe(true);
    const again = await train();
    expect(sameBits(again.delta, first.delta)).toBe(false);
  });

  it("is not trained without having been paid for, nor with options that would break the promise", async () => {
    await expect(train({ privacy: null })).rejects.toThrow();
    await expect(train({ engine: { threads: 2, device: "cpu", devices: 2 } })).rejects.toMatchObject({
      code: "privacy.unsupported",
    });
  });
});
