/**
 * The kernel contract on WebGPU. A software driver takes a second for what a GPU does in no time, so of all cases those
 * are run that bring an operator which no case before them had; CONSILIUM_TEST_GPU=all runs them all.
 */
import { describe, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import type { Graph } from "../graph/ir.ts";
import { optimize } from "../graph/passes/optimize.ts";
import { legalizeForWebGpu } from "../graph/webgpu/legalize.ts";
import { webGpuProvider } from "../providers/webgpu.ts";
import { contractFamilies } from "../testing/cases/all.ts";
import type { ContractCase } from "../testing/cases/case.ts";
import {
  expectResults,
  runGraph,
  runOnCpu,
  traceCase,
  withGradients,
  type Case,
} from "../testing/compare.ts";
import { gpuTests, testsAllGpuCases } from "../testing/gpu.ts";

/** WebGPU leaves each function some error, and more to trigonometric ones and to logarithms near 1. */
const TOLERANCE = 5e-5;
const ROUGH: ReadonlySet<string> = new Set([
  "sin",
  "cos",
  "tan",
  "asin",
  "acos",
  "near zero: log1p and expm1",
]);
const ROUGH_TOLERANCE = 1e-3;

/** Refused: ONNX Runtime has no WebGPU kernel for them, and nothing else to write them with. */
const REFUSED: ReadonlySet<string> = new Set([
  "and of bits",
  "conv3d",
  "conv3d, dilated",
  "conv3d transposed",
]);

const provider = webGpuProvider();

const prepared = (contract: ContractCase, test: Case): Case =>
  contract.gradients ? withGradients(test) : test;

async function agrees(contract: ContractCase, seed: number): Promise<void> {
  const test = contract.build(new Random(seed));
  // The weighted sum in front may cancel to almost nothing, where only rounding is left to compare.
  const compared = (results: readonly Float32Array[]): readonly Float32Array[] =>
    contract.gradients ? results.slice(1) : results;
  const expected = await runOnCpu(prepared(contract, { ...test, run: test.reference ?? test.run }));
  const arrays = test.inputs.map(({ values }) => values);
  const actual = await runGraph(optimize(traceCase(prepared(contract, test))), arrays, provider);
  const tolerance = ROUGH.has(contract.name) ? ROUGH_TOLERANCE : Math.max(contract.tolerance ?? 0, TOLERANCE);
  expectResults(compared(actual), compared(expected), tolerance);
}

/** Of two cases with the same operators on the same types the first. */
function withNewOperators(cases: readonly ContractCase[], seen: Set<string>): readonly ContractCase[] {
  if (testsAllGpuCases) return cases;
  return cases.filter((contract) => {
    const graph: Graph = legalizeForWebGpu(
      optimize(traceCase(prepared(contract, contract.build(new Random(1))))),
    );
    const kinds = graph.nodes.map(({ op, inputs }) => [op, ...inputs.map(({ dtype }) => dtype)].join(" "));
    const isNew = kinds.some((kind) => !seen.has(kind));
    for (const kind of kinds) seen.add(kind);
    return isNew;
  });
}

gpuTests(() => {
  const seen = new Set<string>();
  for (const [family, cases] of Object.entries(contractFamilies)) {
    const possible = cases.filter(({ name }) => !REFUSED.has(name));
    const chosen = withNewOperators(possible, seen);
    if (chosen.length === 0) continue;
    describe(`${family} on ${provider.name}`, () => {
      for (const contract of chosen) {
        it(contract.name, async () => {
          for (let seed = 1; seed <= (testsAllGpuCases ? 3 : 1); seed++) await agrees(contract, seed);
        });
      }
    });
  }
});
