import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import { askedShareOf, labelledParts } from "../dataset/training-images.ts";
import { toyCache } from "../training/testing/toy.ts";
import { labelScores, probeParts } from "./label-scores.ts";

const classes = ["even", "odd"];
const plan = { federation: "toy", title: "Toy", rounds: 1 };
const cache = toyCache(200);
const labels = new Map(cache.records.map(({ image }, i) => [image, classes[i % 2] ?? ""]));
const patients = (images: readonly { readonly patient: string }[]) =>
  images.map(({ patient }) => patient).sort();

it("asks nobody whom the encoder was taught with", () => {
  for (const testShare of [0.1, 0.3, 0.5]) {
    const taught = parsePlan({ ...plan, pretext: { task: "classify", classes, testShare } });
    const { tested } = labelledParts(cache, { labels }, { task: "classify", classes, testShare });
    const { known, asked } = probeParts(cache.records, askedShareOf(taught));
    expect(patients(asked)).toEqual(patients(tested));
    expect(known.length + asked.length).toBe(200);
  }
  expect(askedShareOf(parsePlan(plan))).toBe(0.5);
});

it("scores those who are asked, where there are enough", () => {
  const features = cache.records.map(({ image, patient }, i) => {
    return { patient, label: labels.get(image) ?? "", feature: Float32Array.of(i % 2, 1 - (i % 2)) };
  });
  expect(labelScores(features, 0.3)).toMatchObject({ neighbours: 1, probe: 1 });
  expect(labelScores(features, 0.01)).toBeNull();
});
