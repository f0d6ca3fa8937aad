import { expect, it } from "vitest";
import { BestWeights } from "./best-weights.ts";

/** After how many of these looks the training ended (all of them if it did not), and which look's weights it keeps. */
function trained(scores: readonly (number | null)[], { floor = 0, warmup = 0 } = {}) {
  const best = new BestWeights(floor);
  let looks = 0;
  for (const score of scores) {
    if (best.isFinal()) break;
    looks += 1;
    best.look(score, Float32Array.of(looks), looks > warmup);
  }
  return { looks, kept: best.weights?.[0] ?? null };
}

const times = <T>(count: number, value: T): T[] => new Array<T>(count).fill(value);

it("keeps the best look and ends six looks after it", () => {
  expect(trained([0.1, 0.3, 0.2, ...times(10, 0.25)])).toEqual({ looks: 8, kept: 2 });
});

it("goes on to the end, and chooses nothing, where the patients kept back cannot say", () => {
  for (const silent of [null, NaN, 0]) {
    expect(trained(times(20, silent))).toEqual({ looks: 20, kept: null });
  }
  expect(trained([0.5, ...times(19, NaN)])).toEqual({ looks: 20, kept: 1 });
});

it("waits for the first find, however late", () => {
  expect(trained([...times(12, 0), 0.1, 0.4, ...times(10, 0.3)])).toEqual({ looks: 20, kept: 14 });
});

it("counts from the first look what has no floor, but not while the learning rate rises", () => {
  const falling = Array.from({ length: 20 }, (_, i) => -i);
  expect(trained(falling, { floor: -Infinity })).toEqual({ looks: 7, kept: 1 });
  expect(trained(falling, { floor: -Infinity, warmup: 4 })).toEqual({ looks: 10, kept: 1 });
});
