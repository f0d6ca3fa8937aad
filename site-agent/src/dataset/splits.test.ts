import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LabelledImage } from "./labels.ts";
import { fewLabels, keepByPatient, splitByPatient } from "./splits.ts";

const SHARES = { train: 0.7, validation: 0.1, test: 0.2 };
const seeds = fc.integer({ min: 0, max: 1000 });
const people = fc.array(
  fc.record({
    patient: fc.integer({ min: 0, max: 60 }).map((n) => `p${n}`),
    label: fc.constantFrom("a", "b", "c"),
  }),
  { minLength: 1, maxLength: 120 },
);
const images = people.map((all): LabelledImage[] => all.map((one, index) => ({ ...one, index })));

const partOf = (parts: Record<string, readonly LabelledImage[]>): Map<string, string> =>
  new Map(
    Object.entries(parts).flatMap(([name, part]) => part.map(({ patient }) => [patient, name] as const)),
  );

describe("splits by patient", () => {
  it("put every image into one part and each patient into one part only", () => {
    fc.assert(
      fc.property(images, seeds, (all, seed) => {
        const parts = splitByPatient(all, SHARES, seed);
        const joined = Object.values(parts).flat();
        expect(joined.map(({ index }) => index).sort((x, y) => x - y)).toEqual(all.map(({ index }) => index));
        const patients = Object.values(parts).map((part) => new Set(part.map(({ patient }) => patient)));
        expect(patients.reduce((sum, set) => sum + set.size, 0)).toBe(
          new Set(all.map(({ patient }) => patient)).size,
        );
      }),
    );
  });

  it("leave every patient where they were when others are added", () => {
    fc.assert(
      fc.property(images, images, seeds, (some, more, seed) => {
        const before = partOf(splitByPatient(some, SHARES, seed));
        const after = partOf(splitByPatient([...more, ...some], SHARES, seed));
        for (const [patient, part] of before) expect(after.get(patient)).toBe(part);
      }),
    );
  });

  it("come near their shares for many patients, and differ by seed", () => {
    const all = Array.from({ length: 5000 }, (_, i) => ({ patient: `p${i}` }));
    const first = splitByPatient(all, SHARES, 1);
    expect(first.train.length / 5000).toBeCloseTo(0.7, 1);
    expect(first.validation.length / 5000).toBeCloseTo(0.1, 1);
    expect(splitByPatient(all, SHARES, 2).test).not.toEqual(first.test);
  });

  it("refuse shares that are no shares", () => {
    for (const shares of [
      { a: 0.5, b: 0.6 },
      { a: -0.5, b: 1.5 },
      { a: NaN, b: 1 },
    ])
      expect(() => splitByPatient([], shares, 1)).toThrow(RangeError);
  });
});

describe("patients kept back", () => {
  it("are a share of them, and leave every class to the others", () => {
    fc.assert(
      fc.property(images, fc.double({ min: 0, max: 0.9, noNaN: true }), seeds, (all, share, seed) => {
        const { fitted, kept } = keepByPatient(all, share, seed);
        const [own, others] = [fitted, kept].map((part) => new Set(part.map(({ patient }) => patient)));
        expect([...(own ?? [])].filter((patient) => others?.has(patient))).toEqual([]);
        expect(fitted.length + kept.length).toBe(all.length);
        const classesOf = (part: readonly LabelledImage[]) => new Set(part.map(({ label }) => label));
        expect(classesOf(fitted)).toEqual(classesOf(all));
        expect(others?.size ?? NaN).toBeLessThanOrEqual(
          Math.ceil(share * new Set(all.map(({ patient }) => patient)).size),
        );
        expect(keepByPatient(all, share, seed)).toEqual({ fitted, kept });
      }),
    );
  });

  it("are of each class in proportion, and differ by seed", () => {
    const all = Array.from({ length: 40 }, (_, index) => ({
      index,
      patient: `p${index}`,
      label: index < 10 ? "rare" : "common",
    }));
    const keep = (seed: number) => keepByPatient(all, 0.2, seed).kept.map(({ label }) => label);
    expect(keep(1)).toEqual(["rare", "rare", "common", "common", "common", "common", "common", "common"]);
    expect(keepByPatient(all, 0.2, 2)).not.toEqual(keepByPatient(all, 0.2, 1));
    expect(keepByPatient(all.slice(9, 11), 0.5, 1).kept).toEqual([]);
  });
});

describe("few labels", () => {
  const countBy = (all: readonly LabelledImage[], label: string): number =>
    all.filter((image) => image.label === label).length;

  it("by fraction keep each class's share, at least one image, no image twice, in order", () => {
    fc.assert(
      fc.property(images, fc.double({ min: 0.01, max: 1, noNaN: true }), seeds, (all, fraction, seed) => {
        const few = fewLabels(all, { fraction }, seed);
        for (const label of ["a", "b", "c"]) {
          const size = countBy(all, label);
          const expected = size === 0 ? 0 : Math.min(size, Math.max(1, Math.round(size * fraction)));
          expect(countBy(few, label)).toBe(expected);
        }
        expect(few.map(({ index }) => index)).toEqual(
          [...new Set(few.map(({ index }) => index))].sort((x, y) => x - y),
        );
      }),
    );
  });

  it("by count give that many, but at least one of each class and at most all", () => {
    fc.assert(
      fc.property(images, fc.integer({ min: 1, max: 150 }), seeds, (all, count, seed) => {
        const few = fewLabels(all, { count }, seed);
        const classes = new Set(all.map(({ label }) => label)).size;
        expect(few).toHaveLength(Math.min(all.length, Math.max(count, classes)));
        expect(new Set(few.map(({ label }) => label)).size).toBe(classes);
      }),
    );
  });

  it("under one seed a smaller fraction is part of a larger one", () => {
    fc.assert(
      fc.property(images, seeds, (all, seed) => {
        const small = fewLabels(all, { fraction: 0.1 }, seed);
        const large = new Set(fewLabels(all, { fraction: 0.5 }, seed));
        expect(small.every((image) => large.has(image))).toBe(true);
      }),
    );
  });

  it("take whole patients, but for the last one of a class", () => {
    fc.assert(
      fc.property(images, fc.integer({ min: 1, max: 60 }), seeds, (all, count, seed) => {
        const few = new Set(fewLabels(all, { count }, seed));
        for (const label of ["a", "b", "c"]) {
          const ofClass = all.filter((image) => image.label === label);
          const patients = new Set(ofClass.map(({ patient }) => patient));
          const split = [...patients].filter((patient) => {
            const own = ofClass.filter((image) => image.patient === patient);
            const kept = own.filter((image) => few.has(image)).length;
            return kept > 0 && kept < own.length;
          });
          expect(split.length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("change with the seed", () => {
    const all = Array.from({ length: 400 }, (_, index) => ({
      index,
      patient: `p${index}`,
      label: index % 4 === 0 ? "a" : "b",
    }));
    expect(fewLabels(all, { count: 10 }, 1)).not.toEqual(fewLabels(all, { count: 10 }, 2));
    expect(countBy(fewLabels(all, { count: 40 }, 1), "a")).toBe(10);
  });
});
