import { ConsiliumError } from "@consilium/shared/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawLabels, formCohort, setSize } from "./cohort.ts";

/** A cache of records alone: image i belongs to `patients[i]` and has `labels[i]` unless null. */
function labelledCache(patients: readonly string[], labels: readonly (string | null)[], prefix = "image") {
  const records = patients.map((patient, i) => ({ image: `${prefix}-${i}`, patient, modality: "DX" }));
  return {
    cache: { records },
    labels: new Map(
      labels.flatMap((label, i) => (label === null ? [] : [[`${prefix}-${i}`, label] as [string, string]])),
    ),
  };
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return error instanceof ConsiliumError ? error.code : "other";
  }
}

const options = { negativeClass: null, releasedClasses: null, testFraction: 0.3 };
const patientsOf = (images: readonly { patient: string }[]) => new Set(images.map(({ patient }) => patient));
const numbered = (count: number) => Array.from({ length: count }, (_, i) => `patient-${i}`);

describe("a cohort", () => {
  it("keeps every patient in the part where they were when others are added", () => {
    const people = fc.array(fc.record({ patient: fc.nat({ max: 80 }), label: fc.constantFrom("a", "b") }), {
      minLength: 10,
      maxLength: 80,
    });
    const cohortOf = (images: readonly { patient: number; label: string }[]) => {
      try {
        const patients = images.map(({ patient }) => `patient-${patient}`);
        return formCohort(
          labelledCache(
            patients,
            images.map(({ label }) => label),
          ),
          null,
          options,
        );
      } catch (error) {
        expect(error).toMatchObject({ code: "labels.too-few" });
        return null;
      }
    };
    fc.assert(
      fc.property(people, people, (some, more) => {
        const before = cohortOf(some);
        const after = cohortOf([...more, ...some]);
        if (before === null || after === null) return;
        const [train, test] = [patientsOf(after.train), patientsOf(after.test)];
        for (const patient of patientsOf(before.train)) expect(train.has(patient)).toBe(true);
        for (const patient of patientsOf(before.test)) expect(test.has(patient)).toBe(true);
      }),
    );
  });

  it("never has a patient in both parts, with or without a test cache", () => {
    const caches = fc
      .array(fc.record({ patient: fc.nat({ max: 30 }), label: fc.constantFrom("a", "b") }), {
        minLength: 40,
        maxLength: 120,
      })
      .map((images) =>
        labelledCache(
          images.map(({ patient }) => `patient-${patient}`),
          images.map(({ label }) => label),
        ),
      );
    fc.assert(
      fc.property(caches, fc.option(caches), (train, test) => {
        let cohort;
        try {
          cohort = formCohort(train, test, options);
        } catch (error) {
          expect(error).toMatchObject({ code: "labels.too-few" });
          return;
        }
        const tested = patientsOf(cohort.test);
        for (const patient of patientsOf(cohort.train)) expect(tested.has(patient)).toBe(false);
        for (const part of [cohort.train, cohort.test]) {
          expect(new Set(part.map(({ label }) => label))).toEqual(new Set(["a", "b"]));
        }
      }),
    );
  });

  it("joins all other classes where a negative one is named", () => {
    const labels = ["normal", "viral", "bacterial"];
    const train = labelledCache(
      numbered(30),
      numbered(30).map((_, i) => labels[i % 3] ?? null),
    );
    const test = labelledCache(["t1", "t2", "t3"], ["normal", "viral", "fungal"], "test");
    const cohort = formCohort(train, test, { ...options, negativeClass: "normal" });
    expect(cohort.classes).toEqual(["normal", "not normal"]);
    expect(cohort.test.map(({ label }) => label)).toEqual(["normal", "not normal", "not normal"]);
    expect(cohort.train.filter(({ label }) => label === "not normal")).toHaveLength(20);

    const two = labelledCache(["a", "b"], ["clear", "opacity"]);
    const tested = labelledCache(["c", "d"], ["clear", "opacity"], "test");
    expect(formCohort(two, tested, { ...options, negativeClass: "opacity" }).classes).toEqual([
      "opacity",
      "clear",
    ]);
  });

  it("takes three classes as they are, and leaves out test images of a class it cannot know", () => {
    const train = labelledCache(numbered(6), ["a", "b", "c", "a", "b", "c"]);
    const test = labelledCache(["t1", "t2", "t3", "t4"], ["c", "b", "a", "d"], "test");
    const cohort = formCohort(train, test, options);
    expect(cohort.classes).toEqual(["a", "b", "c"]);
    expect(cohort.test.map(({ index }) => index)).toEqual([0, 1, 2]);
  });

  it("draws the same few labels for a seed, both classes among them", () => {
    const train = labelledCache(
      numbered(100),
      numbered(100).map((_, i) => (i % 10 === 0 ? "rare" : "common")),
    );
    const test = labelledCache(["x", "y"], ["rare", "common"], "test");
    const cohort = formCohort(train, test, options);
    const drawn = drawLabels(cohort, { count: 12 }, 3);
    expect(setSize(drawn)).toEqual({ images: 12, patients: 12 });
    expect(new Set(drawn.map(({ label }) => label))).toEqual(new Set(["rare", "common"]));
    expect(drawLabels(cohort, { count: 12 }, 3)).toEqual(drawn);
    expect(drawLabels(cohort, { count: 12 }, 4)).not.toEqual(drawn);
    expect(drawLabels(cohort, null, 1)).toHaveLength(100);
  });

  it("says which labels are missing", () => {
    const none = labelledCache(["a", "b"], [null, null]);
    const one = labelledCache(["a", "b"], ["x", "x"]);
    const both = labelledCache(["a", "b"], ["x", "y"]);
    const samePatient = labelledCache(["a", "a", "a"], ["x", "y", "y"]);
    const negative = { ...options, negativeClass: "z" };
    expect(codeOf(() => formCohort(none, null, options))).toBe("labels.unmatched");
    expect(codeOf(() => formCohort(both, none, options))).toBe("labels.unmatched");
    expect(codeOf(() => formCohort(one, null, options))).toBe("labels.too-few");
    expect(codeOf(() => formCohort(samePatient, null, options))).toBe("labels.too-few");
    expect(codeOf(() => formCohort(both, samePatient, options))).toBe("labels.too-few");
    expect(codeOf(() => formCohort(both, null, negative))).toBe("config.invalid");
  });
});
