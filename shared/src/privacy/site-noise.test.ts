import { describe, expect, it } from "vitest";
import { ConsiliumError } from "../errors.ts";
import { parsePlan } from "../plan.ts";
import { encoder } from "../secagg/encode.ts";
import { geometryOf } from "../secagg/layout.ts";
import { roundLayout } from "../secagg/plan-layout.ts";
import { int32s } from "../secagg/ring.ts";
import { thresholdOf } from "../secagg/threshold.ts";
import { epsilonOf } from "./accountant.ts";
import { SecureRandom } from "./secure-random.ts";
import { noiseOverUpdate, siteNoiseMultiplier } from "./site-noise.ts";

const privacy = { unit: "site", clipL2Norm: 0.5, noiseMultiplier: 1.5 } as const;
const plan = parsePlan({ federation: "lungs", title: "Lungs", rounds: 10, privacy });
const LENGTH = 20_000;
const magnitudes = [
  { name: "a", shape: [LENGTH / 2], largest: 0.3 },
  { name: "b", shape: [LENGTH / 2], largest: 2 },
];
const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed);
const extras = {
  "metric:loss": [1],
  "metric:finalLoss": [1],
  "metric:updateNorm": [1],
  "metric:steps": [1],
};

/** What a site adds to the sum, in the update's own unit. */
function encoded(sites: number, update: Float32Array, seed: number): Float64Array {
  const layout = roundLayout(plan, 3, sites, magnitudes);
  const { geometry, body } = encoder(layout, { update, examples: 700, extras, roundingKey: key(seed) });
  const elements = int32s(body(0, geometry.bodyBytes).bytes);
  return Float64Array.from({ length: LENGTH }, (_, i) => {
    const bound = layout.tensors[i < LENGTH / 2 ? 0 : 1]?.bound ?? NaN;
    return ((elements[i] ?? NaN) * bound) / geometry.bodyLevels;
  });
}

const variance = (values: Float64Array): number => values.reduce((sum, v) => sum + v * v, 0) / values.length;

describe("privacy by site", () => {
  it("has all of its noise in the sum of the fewest sites that a round may end with", () => {
    for (const sites of [3, 7]) {
      const survivors = Math.max(3, thresholdOf(sites));
      const sum = new Float64Array(LENGTH);
      for (let site = 0; site < survivors; site++) {
        for (const [i, value] of encoded(sites, new Float32Array(LENGTH), site).entries())
          sum[i] = (sum[i] ?? 0) + value;
      }
      const wanted = (privacy.noiseMultiplier * privacy.clipL2Norm) ** 2;
      // Four standard errors of a variance.
      const error = 4 * Math.sqrt(2 / LENGTH);
      expect(variance(sum) / wanted).toBeGreaterThan(1 - error);
      expect(variance(sum) / wanted).toBeLessThan(1.01 + error);
    }
  });

  it("cuts an update to its norm, and no shorter one", () => {
    const update = new Float32Array(LENGTH).fill(0.01);
    const [long, none] = [encoded(3, update, 1), encoded(3, new Float32Array(LENGTH), 1)];
    const cut = long.map((value, i) => value - (none[i] ?? NaN));
    // The same key makes the same noise, so that what is left is the update, rounded.
    expect(Math.hypot(...cut)).toBeCloseTo(privacy.clipL2Norm, 3);
    const short = encoded(3, new Float32Array(LENGTH).fill(0.001), 1);
    expect(Math.hypot(...short.map((value, i) => value - (none[i] ?? NaN)))).toBeCloseTo(
      0.001 * Math.sqrt(LENGTH),
      3,
    );
  });

  it("counts sites alike, and makes the same noise for the same key alone", () => {
    const layout = roundLayout(plan, 3, 3, magnitudes);
    expect(layout.examplesCap).toBe(1);
    const update = new Float32Array(LENGTH);
    expect(encoded(3, update, 1)).toEqual(encoded(3, update, 1));
    expect(encoded(3, update, 1)).not.toEqual(encoded(3, update, 2));
    const { bodyLevels } = geometryOf(layout);
    for (const { bound } of layout.tensors) {
      // Twelve standard deviations and the update fit.
      expect(bound).toBeGreaterThan(12 * (layout.noise?.stdDev ?? NaN));
      expect(((layout.noise?.stdDev ?? NaN) * bodyLevels) / bound).toBeGreaterThan(64);
    }
  });

  it("reaches a target over all rounds", () => {
    const multiplier = siteNoiseMultiplier(
      { unit: "site", clipL2Norm: 1, targetEpsilon: 2, delta: 1e-6 },
      10,
    );
    const spent = epsilonOf([{ sampleRate: 1, noiseMultiplier: multiplier, steps: 10 }], 1e-6);
    expect(spent).toBeLessThanOrEqual(2);
    expect(spent).toBeGreaterThan(1.999);
  });

  it("drowns a large model, and says so", () => {
    expect(noiseOverUpdate(4.530877117, 22_000_000, 50)).toBeCloseTo(425, 0);
  });

  it("is refused without masks, and on a narrow link", () => {
    for (const aggregation of [{ secure: "plain" }, { linkBits: 16 }]) {
      expect(() => parsePlan({ ...plan, aggregation })).toThrow(
        expect.objectContaining({ code: "plan.invalid", culprits: ["privacy.unit"] }) as Error,
      );
    }
    const many = { name: "a", shape: [2_000_000_000], largest: 1 };
    const loud = parsePlan({ ...plan, privacy: { ...privacy, noiseMultiplier: 1000 } });
    expect(() => roundLayout(loud, 3, 10_000, [many])).toThrow(ConsiliumError);
  });
});

it("discrete normal numbers have the moments of a normal one, and come as often as their weight says", () => {
  const random = new SecureRandom(key(7));
  const [stdDev, count] = [64, 40_000];
  const values = Float64Array.from({ length: count }, () => random.discreteNormal(stdDev));
  expect(values.every(Number.isInteger)).toBe(true);
  expect(Math.abs(values.reduce((sum, v) => sum + v, 0) / count)).toBeLessThan(
    (4 * stdDev) / Math.sqrt(count),
  );
  expect(Math.abs(variance(values) / stdDev ** 2 - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
  expect(() => random.discreteNormal(3)).toThrow(RangeError);
});
