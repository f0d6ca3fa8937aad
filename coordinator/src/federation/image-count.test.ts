import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import { imageCount, patientCount } from "./image-count.ts";

it("says how many images are behind a model to two digits, and of protected patients nothing", () => {
  const plan = parsePlan({ federation: "chest", title: "Chest", rounds: 3 });
  expect(imageCount(plan, 7)).toEqual({ images: 7 });
  expect(imageCount(plan, 4_635)).toEqual({ images: 4_600 });
  expect(imageCount(plan, 1_234_567)).toEqual({ images: 1_200_000 });
  const secret = parsePlan({ ...plan, privacy: { unit: "patient", noiseMultiplier: 1 } });
  expect(imageCount(secret, 4_635)).toEqual({});
});

it("says so of patients once all of the model's sites have said theirs", () => {
  expect(patientCount(3, { sites: 3, count: 1_849 })).toEqual({ patients: 1_800 });
  expect(patientCount(3, { sites: 2, count: 1_849 })).toEqual({});
  expect(patientCount(3, undefined)).toEqual({});
});
