/** The kernel contract as tests. */
import fc from "fast-check";
import { describe, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import { optimize } from "../graph/passes/optimize.ts";
import { contractFamilies, type Family } from "./cases/all.ts";
import type { ContractCase } from "./cases/case.ts";
import {
  expectResults,
  expectTrueGradients,
  runOnCpu,
  traceCase,
  withGradients,
  type Case,
} from "./compare.ts";
import { contractEngines, type ContractEngine } from "./engines.ts";

const SEED = 20_240_601;
const TOLERANCE = 1e-5;

/** On each engine the values and gradients of TF.js' CPU backend; and in float64 those of finite differences. */
export function describeContract(...families: readonly Family[]): void {
  for (const engine of contractEngines) {
    for (const family of families) {
      describe(`${family} on ${engine.name}`, () => {
        for (const test of contractFamilies[family]) {
          it(test.name, () => forSeeds(test, (seed) => agrees(engine, test, seed)));
        }
      });
    }
  }
  describe("gradients and finite differences in float64", () => {
    for (const test of families.flatMap((family): readonly ContractCase[] => contractFamilies[family])) {
      if (test.gradients) it(test.name, () => forSeeds(test, (seed) => { isTrue(test, seed); })); // prettier-ignore
    }
  });
}

const forSeeds = ({ runs }: ContractCase, check: (seed: number) => Promise<void> | void): Promise<void> =>
  Promise.resolve(
    fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        await check(seed);
      }),
      // A seed says nothing smaller than itself: shrinking it would only take time.
      { numRuns: runs ?? 2, seed: SEED, endOnFailure: true },
    ),
  );

async function agrees(engine: ContractEngine, contract: ContractCase, seed: number): Promise<void> {
  const { gradients, tolerance = TOLERANCE } = contract;
  const plain = contract.build(new Random(seed));
  const [test, reference] = [plain, { ...plain, run: plain.reference ?? plain.run }].map((one) =>
    gradients ? withGradients(one) : one,
  ) as [Case, Case];
  // The weighted sum itself may cancel to almost nothing, where only rounding is left to compare.
  const compared = (results: readonly Float32Array[]): readonly Float32Array[] =>
    gradients ? results.slice(1) : results;
  const expected = compared(await runOnCpu(reference));
  for (const actual of await engine.run(test)) expectResults(compared(actual), expected, tolerance);
}

function isTrue(contract: ContractCase, seed: number): void {
  const { tolerance = TOLERANCE } = contract;
  const test = contract.build(new Random(seed));
  expectTrueGradients(optimize(traceCase(withGradients(test))), test.inputs, tolerance);
}
