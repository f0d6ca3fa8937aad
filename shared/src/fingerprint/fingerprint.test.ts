import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareWithOthers, jensenShannon, verdictOf } from "./compare.ts";
import {
  decodeFingerprint,
  emptyCounts,
  encodeFingerprint,
  fingerprintFrom,
  sumOfFingerprints,
  type Counts,
} from "./histogram.ts";
import { binsOf, FINGERPRINT_LENGTH, GROUP_NAMES, GROUPS, SHARES, type GroupName } from "./layout.ts";

const histogram = fc
  .array(fc.nat(1_000_000), { minLength: 9, maxLength: 9 })
  .filter((counts) => counts.some((count) => count > 0));

/** Counts with everything in the named bins. */
function countsIn(bins: Partial<Record<GroupName, number>>, images = 1): Counts {
  const counts = emptyCounts();
  for (const name of GROUP_NAMES) {
    const bin = bins[name];
    if (bin !== undefined) counts[name][bin] = images;
  }
  return counts;
}

const CHESTS = { modality: 0, bodyPart: 2, view: 0, size: 2, intensity: 9, place: 20, vendor: 0 } as const;
const KNEES = { ...CHESTS, bodyPart: 8, intensity: 3, vendor: 4 } as const;

describe("the layout", () => {
  it("names each group once, in the order of the names", () => {
    expect(GROUPS.map(({ name }) => name)).toEqual(GROUP_NAMES);
  });

  it("holds every group's bins side by side, and nothing else", () => {
    const vector = Uint32Array.from({ length: FINGERPRINT_LENGTH }, (_, i) => i);
    expect(GROUPS.flatMap((group) => [...binsOf(vector, group)])).toEqual([...vector]);
  });
});

describe("a fingerprint", () => {
  it("sums to the same in every group that is known, and to nothing in the others", () => {
    fc.assert(
      fc.property(histogram, (bodyPart) => {
        const vector = fingerprintFrom({ ...emptyCounts(), bodyPart: Float64Array.from(bodyPart) });
        for (const group of GROUPS) {
          const sum = binsOf(vector, group).reduce((total, share) => total + share, 0);
          expect(sum).toBe(group.name === "bodyPart" ? SHARES : 0);
        }
      }),
    );
  });

  it("is within one share of the exact proportions", () => {
    fc.assert(
      fc.property(histogram, (bodyPart) => {
        const total = bodyPart.reduce((sum, count) => sum + count, 0);
        const vector = fingerprintFrom({ ...emptyCounts(), bodyPart: Float64Array.from(bodyPart) });
        const group = GROUPS.find(({ name }) => name === "bodyPart");
        const shares = group === undefined ? [] : [...binsOf(vector, group)];
        for (const [bin, share] of shares.entries())
          expect(Math.abs(share - ((bodyPart[bin] ?? 0) / total) * SHARES)).toBeLessThan(1);
      }),
    );
  });

  it("does not tell how many images there are", () => {
    expect(fingerprintFrom(countsIn(CHESTS, 7))).toEqual(fingerprintFrom(countsIn(CHESTS, 70_000)));
  });

  it("comes back from its bytes", () => {
    const vector = fingerprintFrom(countsIn(CHESTS));
    expect(decodeFingerprint(encodeFingerprint(vector))).toEqual(vector);
  });

  it("is refused with bytes missing, or where a site claims more than everything", () => {
    const vector = fingerprintFrom(countsIn(CHESTS));
    expect(() => decodeFingerprint(encodeFingerprint(vector).subarray(4))).toThrow(
      expect.objectContaining({ code: "frame.wrong-length" }) as Error,
    );
    vector[0] = SHARES * 50;
    expect(() => decodeFingerprint(encodeFingerprint(vector))).toThrow(
      expect.objectContaining({ code: "protocol.invalid-message", culprits: ["modality"] }) as Error,
    );
  });
});

describe("the distance", () => {
  it("is symmetric, from 0 to 1, and 0 for equal proportions", () => {
    fc.assert(
      fc.property(histogram, histogram, fc.integer({ min: 1, max: 9 }), (a, b, factor) => {
        const distance = jensenShannon(a, b) ?? NaN;
        expect(distance).toBeGreaterThanOrEqual(0);
        expect(distance).toBeLessThanOrEqual(1);
        expect(jensenShannon(b, a)).toBeCloseTo(distance, 12);
        expect(
          jensenShannon(
            a,
            a.map((count) => count * factor),
          ),
        ).toBeCloseTo(0, 12);
      }),
    );
  });

  it("is 1 where nothing is in common, and unknown where nothing is known", () => {
    expect(jensenShannon([1, 0, 3], [0, 2, 0])).toBe(1);
    expect(jensenShannon([1, 0], [0, 0])).toBeNull();
    // Half of it in common: H(1/2, 1/4, 1/4) - (H(1, 0) + H(1/2, 1/2)) / 2 by hand.
    expect(jensenShannon([1, 0], [1, 1])).toBeCloseTo(0.311_278, 6);
  });

  it("is from the others, so that it means the same for three sites and for thirty", () => {
    const odd = fingerprintFrom(countsIn(KNEES));
    for (const others of [2, 29]) {
      const usual = Array.from({ length: others }, () => fingerprintFrom(countsIn(CHESTS)));
      const compared = compareWithOthers(odd, sumOfFingerprints([odd, ...usual]));
      expect(compared.distances).toMatchObject({ modality: 0, bodyPart: 1, intensity: 1, spacing: null });
    }
  });

  it("names the hospital that loaded knees, and lets its scanner be another vendor's", () => {
    const odd = fingerprintFrom(countsIn(KNEES));
    const usual = fingerprintFrom(countsIn(CHESTS));
    const total = sumOfFingerprints([usual, usual, odd]);
    const compared = compareWithOthers(odd, total);
    expect(compared.unlike).toEqual(["bodyPart", "intensity"]);
    expect(compared.distances.vendor).toBe(1);
    expect(verdictOf(compared)).toBe("body part and intensity unlike the others (1.00)");
    expect(verdictOf(compareWithOthers(usual, sumOfFingerprints([usual, usual, usual])))).toBe(
      "like the others",
    );
    // Half of what the others have is knees: a third site must not be blamed for it in what is a matter of degree.
    expect(compareWithOthers(usual, total).distances.bodyPart).toBeCloseTo(0.311, 3);
  });
});
