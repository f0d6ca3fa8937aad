/** What every aggregation strategy must do. */
import { describe, expect, it } from "vitest";
import { STRATEGIES } from "./strategy.ts";

describe.each(Object.entries(STRATEGIES))("%s", (_name, strategy) => {
  const base = Float32Array.of(1, -2, 3, 0.5);
  const mean = Float64Array.of(0.25, 0.5, -1, 0);
  const all = () => strategy.update({ base, mean, state: strategy.init(base.length) });

  it("leaves its input as it is and returns finite weights", () => {
    const before = base.slice();
    expect(all().every(Number.isFinite)).toBe(true);
    expect(base).toEqual(before);
  });

  it("gives the same slice by slice as in one go", () => {
    const state = strategy.init(base.length);
    const slices = [0, 1, 2, 3].map((i) => {
      const own = new Map([...state].map(([name, vector]) => [name, vector.subarray(i, i + 1)]));
      return strategy.update({ base: base.slice(i, i + 1), mean: mean.slice(i, i + 1), state: own })[0];
    });
    expect(slices).toEqual([...all()]);
  });

  it("does not move without an update", () => {
    const still = strategy.update({ base, mean: new Float64Array(4), state: strategy.init(4) });
    expect(still).toEqual(base);
  });
});

it("fedavg adds the mean update", () => {
  const { fedavg } = STRATEGIES;
  const next = fedavg.update({
    base: Float32Array.of(1, 2),
    mean: Float64Array.of(0.5, -2),
    state: fedavg.init(2),
  });
  expect([...next]).toEqual([1.5, 0]);
});
