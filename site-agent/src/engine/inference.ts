/** A forward pass compiled to one graph, with the weights inside. */
import { sizeOf, type Graph } from "./graph/ir.ts";
import { optimize } from "./graph/passes/optimize.ts";
import { batchName, forwardProgram, weightsName, type Program } from "./program.ts";
import type { CompiledGraph, Provider, TensorArray } from "./providers/provider.ts";
import { SlotArrays, assertFits } from "./state.ts";
import { trace } from "./tracer/trace.ts";
import { metricsOf, settle } from "./train-step.ts";
import type { Inference, InferenceDefinition, InputArrays, InputSpecs } from "./types.ts";

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function compileInference<I extends InputSpecs>(
  provider: Provider,
  definition: InferenceDefinition<I>,
): Promise<Inference<I>> {
  const program = forwardProgram(definition);
  const graph = optimize(trace(program.inputs, program.body));
  return new CompiledInference(definition, program, graph, await provider.compile(graph));
}

class CompiledInference<I extends InputSpecs> implements Inference<I> {
  readonly #definition: InferenceDefinition<I>;
  readonly #program: Program;
  readonly #outputs: Graph["outputs"];
  readonly #compiled: CompiledGraph;
  readonly #weights: SlotArrays;

  constructor(definition: InferenceDefinition<I>, program: Program, graph: Graph, compiled: CompiledGraph) {
    this.#definition = definition;
    this.#program = program;
    this.#outputs = graph.outputs;
    this.#compiled = compiled;
    this.#weights = new SlotArrays(program.layout.slots);
  }

  async run(inputs: InputArrays<I>): Promise<Readonly<Record<string, Float32Array>>> {
    const feeds = new Map<string, TensorArray>();
    for (const slot of this.#program.layout.slots) feeds.set(weightsName(slot), this.#weights.of(slot));
    for (const name of Object.keys(this.#definition.inputs)) {
      feeds.set(batchName(name), inputs[name] as TensorArray);
    }
    const results = new Map(
      this.#outputs.map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
    );
    await this.#compiled.run(feeds, results);
    return metricsOf(results);
  }

  writeWeights(values: Float32Array): Promise<void> {
    return settle(() => {
      assertFits(this.#program.layout, values);
      this.#weights.write(values);
    });
  }

  dispose(): Promise<void> {
    return this.#compiled.dispose();
  }
}
