/** What every aggregation strategy must do; run over each, on a harness that only knows plans, models and updates. */
import { fewestSites, type StrategyPlan } from "@consilium/shared/strategy-schema";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { seeded } from "../testing/coordinator.ts";

export interface Vectors {
  readonly base: Float32Array;
  readonly updates: readonly Float32Array[];
  /** One for each update. */
  readonly examples: readonly number[];
}

export interface Model {
  readonly values: Float32Array;
  /** Name of what the strategy goes on with, or null. */
  readonly state: string | null;
}

export interface StrategyHarness {
  /** One round, through streams and blobs. @param state of the round before, or null */
  round(strategy: StrategyPlan, vectors: Vectors, state: string | null): Promise<Model>;
  /** The same, but the process dies before the strategy's state is written. */
  dieInRound(strategy: StrategyPlan, vectors: Vectors, state: string | null): Promise<void>;
}

/** An independent implementation in float64, without streams: the model after each of some rounds. */
export type Reference = (
  strategy: StrategyPlan,
  base: readonly number[],
  rounds: readonly Vectors[],
) => number[];

export interface Claims {
  /** Whether sites weigh as much as they have images. */
  readonly weighted: boolean;
  /** Whether the same update of all sites is the step that the model makes. */
  readonly followsConsensus: boolean;
  /** Most sites of eleven that may send anything at all. */
  readonly tolerates: number;
}

const LENGTH = 37;
const SITES = 11;

export function strategyContract(
  strategy: StrategyPlan,
  { weighted, followsConsensus, tolerates }: Claims,
  reference: Reference,
  makeHarness: () => Promise<StrategyHarness>,
): void {
  describe(`${strategy.name} keeps the contract of strategies`, () => {
    const next = seeded(strategy.name.length);
    const around = (centre: number, width: number) =>
      Float32Array.from({ length: LENGTH }, () => centre + width * (next() - 0.5));
    const vectors = (sites: number): Vectors => ({
      base: around(0, 2),
      updates: Array.from({ length: sites }, () => around(0.1, 0.3)),
      examples: Array.from({ length: sites }, () => 1 + Math.floor(next() * 500)),
    });
    let harness: StrategyHarness;
    beforeAll(async () => {
      harness = await makeHarness();
    });

    it("is, round by round, what its paper says in float64", async () => {
      const rounds = [vectors(SITES), vectors(SITES), vectors(SITES)];
      let base = rounds[0]?.base ?? around(0, 2);
      const start = Array.from(base);
      let state: string | null = null;
      for (const [i, one] of rounds.entries()) {
        const model: Model = await harness.round(strategy, { ...one, base }, state);
        const expected = reference(strategy, start, rounds.slice(0, i + 1));
        // Model and state are kept in float32, the reference's are not.
        expect(largestDifference(model.values, expected)).toBeLessThan(1e-5);
        ({ values: base, state } = model);
      }
    });

    it("does not ask which site sent what", async () => {
      const one = vectors(SITES);
      const straight = await harness.round(strategy, one, null);
      const orders = fc.shuffledSubarray(
        Array.from({ length: SITES }, (_, i) => i),
        { minLength: SITES },
      );
      await fc.assert(
        fc.asyncProperty(orders, async (order) => {
          const permuted = {
            base: one.base,
            updates: order.map((i) => one.updates[i] ?? around(0, 0)),
            examples: order.map((i) => one.examples[i] ?? 0),
          };
          const { values } = await harness.round(strategy, permuted, null);
          expect(largestDifference(values, straight.values)).toBeLessThan(1e-6);
        }),
        { numRuns: 4 },
      );
    });

    it(weighted ? "counts a site as often as it has images" : "counts all sites alike", async () => {
      const one = vectors(SITES);
      const heavy = { ...one, examples: one.examples.map((count, i) => (i === 0 ? 50 * count : count)) };
      const before = await harness.round(strategy, one, null);
      const after = await harness.round(strategy, heavy, null);
      if (weighted) expect(largestDifference(after.values, before.values)).toBeGreaterThan(1e-5);
      else expect(after.values).toEqual(before.values);
      const doubled = { ...one, examples: one.examples.map((count) => 2 * count) };
      const { values } = await harness.round(strategy, doubled, null);
      expect(largestDifference(values, before.values)).toBeLessThan(1e-6);
    });

    it("moves along with sites that all say the same, and not at all when they say nothing", async () => {
      const { base, examples } = vectors(SITES);
      const update = around(0.2, 0.1);
      const { values } = await harness.round(
        strategy,
        { base, examples, updates: examples.map(() => update) },
        null,
      );
      const moved = values.map((value, i) => value - (base[i] ?? NaN));
      if (followsConsensus) expect(largestDifference(moved, update)).toBeLessThan(1e-6);
      else expect(moved.every((step, i) => Math.sign(step) === Math.sign(update[i] ?? NaN))).toBe(true);
      const silent = examples.map(() => new Float32Array(LENGTH));
      expect((await harness.round(strategy, { base, examples, updates: silent }, null)).values).toEqual(base);
    });

    it("works with as few sites as its plan must ask for", async () => {
      const few = vectors(fewestSites(strategy));
      expect((await harness.round(strategy, few, null)).values.every(Number.isFinite)).toBe(true);
    });

    it("gives the same bits again, also after a death in the middle", async () => {
      const [first, second] = [vectors(SITES), vectors(SITES)];
      const { values: base, state } = await harness.round(strategy, first, null);
      await harness.dieInRound(strategy, { ...second, base }, state);
      const once = await harness.round(strategy, { ...second, base }, state);
      const again = await harness.round(strategy, { ...second, base }, state);
      expect(again).toEqual(once);
    });

    if (tolerates === 0) return;
    it(`is not moved at will by ${tolerates} of ${SITES} sites`, async () => {
      const honest = vectors(SITES);
      const lies = [
        () => around(1e6, 1),
        () => around(-1e6, 1e6),
        // All the same, so that liars are near each other.
        () => new Float32Array(LENGTH).fill(-3),
      ];
      for (const lie of lies) {
        const updates = honest.updates.map((update, i) => (i < tolerates ? lie() : update));
        const { values } = await harness.round(strategy, { ...honest, updates }, null);
        const good = honest.updates.slice(tolerates);
        for (const [i, value] of values.entries()) {
          const said = good.map((update) => update[i] ?? NaN);
          const moved = value - (honest.base[i] ?? NaN);
          // Within what honest sites say, but for the rounding of the model.
          expect(moved).toBeGreaterThan(Math.min(...said) - 1e-6);
          expect(moved).toBeLessThan(Math.max(...said) + 1e-6);
        }
      }
    });
  });
}

function largestDifference(a: Float32Array, b: ArrayLike<number>): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? NaN))), 0);
}
