import { parsePlan } from "@consilium/shared/plan";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toyCache } from "../training/testing/toy.ts";
import { balancedWeights } from "./taught-labels.ts";
import { labelledParts, trainingImages } from "./training-images.ts";
import { splitByPatient, TEST_SPLIT_SEED } from "./splits.ts";

const terms = { federation: "toy", title: "Toy", rounds: 1 };
const classes = ["normal", "opacity"];
const PLAN = parsePlan({ ...terms, pretext: { task: "classify", classes } });
const ASKED = { task: "classify", classes, testShare: 0.3 } as const;
const CACHE = toyCache(60);
/** A third opacity, a third normal, a sixth something else, a sixth nothing. */
const LABELS = new Map(
  CACHE.records.flatMap(({ image }, i): [string, string][] =>
    i % 6 === 5 ? [] : [[image, i % 6 < 2 ? "opacity" : i % 6 < 4 ? "normal" : "other"]],
  ),
);

describe("the images that a plan trains on", () => {
  it("are the cache itself where it needs no labels", () => {
    expect(trainingImages(CACHE, parsePlan(terms), { labels: LABELS })).toBe(CACHE);
  });

  it("are those with its classes, each with its own pixels and answer, but for the patients to test on", () => {
    const images = trainingImages(CACHE, PLAN, { labels: LABELS });
    const { tested } = labelledParts(CACHE, { labels: LABELS }, ASKED);
    expect(images.records.length + tested.length).toBe(40);
    const all = [...images.records.keys()];
    const answers = images.answers?.(all);
    if (answers?.kind !== "classes") throw new Error("classes are learned");
    const bytes = images.sizePx ** 2;
    const [own, cached] = [new Uint8Array(bytes), new Uint8Array(bytes)];
    for (const [i, { image }] of images.records.entries()) {
      expect(classes[answers.classes[i] ?? NaN]).toBe(LABELS.get(image));
      images.read([i], own);
      CACHE.read([CACHE.records.findIndex((record) => record.image === image)], cached);
      expect(own).toEqual(cached);
    }
    const sum = answers.weights.reduce((total, weight) => total + weight, 0);
    expect(sum / all.length).toBeCloseTo(1, 5);
  });

  it("leave out whom finetune tests on at the same share, of all labelled patients", () => {
    const both = CACHE.records.filter(({ image }) => classes.includes(LABELS.get(image) ?? ""));
    const { test } = splitByPatient(both, { train: 0.7, test: 0.3 }, TEST_SPLIT_SEED);
    const { tested } = labelledParts(CACHE, { labels: LABELS }, ASKED);
    expect(tested.map(({ patient }) => patient)).toEqual(test.map(({ patient }) => patient));
  });

  it("are none without the plan's labels, which ends it", () => {
    const others = new Map([...LABELS.keys()].map((image) => [image, "other"]));
    for (const labels of [new Map<string, string>(), others])
      expect(() => trainingImages(CACHE, PLAN, { labels })).toThrow(
        expect.objectContaining({ code: "labels.not-of-plan" }),
      );
  });
});

it("gives every class that is there the same weight together", () => {
  const truths = fc.array(fc.nat(4), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(truths, (truth) => {
      const weights = balancedWeights(Int32Array.from(truth));
      const sums = [...new Set(truth)].map((c) =>
        truth.reduce((sum, other, i) => sum + (other === c ? (weights[i] ?? NaN) : 0), 0),
      );
      for (const sum of sums) expect(sum).toBeCloseTo(truth.length / sums.length, 3);
    }),
  );
});
