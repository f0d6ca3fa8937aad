/** The engines that the kernel contract is checked on. */
import { optimize } from "../graph/passes/optimize.ts";
import { cpuProvider } from "../providers/cpu.ts";
import type { Provider } from "../providers/provider.ts";
import { runGraph, traceCase, type Case } from "./compare.ts";

export interface ContractEngine {
  readonly name: string;
  /** @returns the results of the case, once for each way in which the engine can run it */
  run(test: Case): Promise<readonly Float32Array[][]>;
}

/** Traces the case and runs the graph, as it is and optimised. */
export const compiledEngine = (provider: Provider): ContractEngine => ({
  name: provider.name,
  run: async (test) => {
    const raw = traceCase(test);
    const arrays = test.inputs.map(({ values }) => values);
    const results = [];
    for (const graph of [raw, optimize(raw)]) results.push(await runGraph(graph, arrays, provider));
    return results;
  },
});

export const contractEngines: readonly ContractEngine[] = [compiledEngine(cpuProvider(1))];
