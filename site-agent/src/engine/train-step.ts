/** A training step compiled to one graph, with the weights and the optimiser's moments inside. */
import { ConsiliumError } from "@consilium/shared/errors";
import { sizeOf, type Graph } from "./graph/ir.ts";
import { optimize } from "./graph/passes/optimize.ts";
import { scheduleValues } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  LOSS,
  METRIC,
  SCHEDULE,
  batchName,
  stepProgram,
  type StepProgram,
} from "./program.ts";
import type { CompiledGraph, Provider, TensorArray } from "./providers/provider.ts";
import { StepState, assertFits } from "./state.ts";
import { trace } from "./tracer/trace.ts";
import type {
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "./types.ts";

/** The graph as a provider gets it; benchmarks look at it too. */
export function traceTrainStep<I extends InputSpecs>(definition: TrainStepDefinition<I>): Graph {
  const { inputs, body } = stepProgram(definition);
  return optimize(trace(inputs, body));
}

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function compileTrainStep<I extends InputSpecs>(
  provider: Provider,
  definition: TrainStepDefinition<I>,
): Promise<TrainStep<I>> {
  const graph = traceTrainStep(definition);
  return new CompiledTrainStep(definition, stepProgram(definition), graph, await provider.compile(graph));
}

class CompiledTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #definition: TrainStepDefinition<I>;
  readonly #program: StepProgram;
  readonly #graph: CompiledGraph;
  /** Loss, gradient norm and metrics; overwritten by each step. */
  readonly #results: ReadonlyMap<string, Float32Array>;
  /** One state is read by a step, the other one written. */
  #current: StepState;
  #next: StepState;
  #updates = 0;

  constructor(
    definition: TrainStepDefinition<I>,
    program: StepProgram,
    graph: Graph,
    compiled: CompiledGraph,
  ) {
    this.#definition = definition;
    this.#program = program;
    this.#graph = compiled;
    this.#current = new StepState(program);
    this.#next = new StepState(program);
    const written = this.#next.outputArrays();
    this.#results = new Map(
      graph.outputs
        .filter(({ name }) => !written.has(name))
        .map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
    );
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const { optimizer, inputs: specs } = this.#definition;
    const update = this.#updates + 1;
    const feeds = this.#current.inputArrays();
    feeds.set(SCHEDULE, scheduleValues(optimizer, this.#program.scales, learningRate, update));
    for (const name of Object.keys(specs)) feeds.set(batchName(name), inputs[name] as TensorArray);

    await this.#graph.run(feeds, new Map([...this.#next.outputArrays(), ...this.#results]));

    const result = stepResult(this.#results, update);
    [this.#current, this.#next] = [this.#next, this.#current];
    this.#updates = update;
    return result;
  }

  readWeights(): Promise<Float32Array> {
    return Promise.resolve(this.#current.weights.read(this.#program.layout.length));
  }

  writeWeights(values: Float32Array): Promise<void> {
    return settle(() => {
      assertFits(this.#program.layout, values);
      // The graph does not write frozen weights, so both states hold them.
      this.#next.weights.write(values);
      this.#current.weights.write(values);
    });
  }

  readOptimizerState(): Promise<OptimizerState> {
    return Promise.resolve(this.#current.readMoments(this.#updates, this.#definition.optimizer));
  }

  writeOptimizerState(state: OptimizerState | null): Promise<void> {
    return settle(() => {
      this.#current.writeMoments(state, this.#definition.optimizer);
      this.#updates = state?.step ?? 0;
    });
  }

  dispose(): Promise<void> {
    return this.#graph.dispose();
  }
}

/**
 * Copies what a step has to say out of the arrays that the next one overwrites.
 * @throws training.diverged
 */
export function stepResult(outputs: ReadonlyMap<string, Float32Array>, update: number): StepResult {
  const loss = outputs.get(LOSS)?.[0] ?? NaN;
  const gradientNorm = outputs.get(GRADIENT_NORM)?.[0] ?? NaN;
  if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
    throw new ConsiliumError("training.diverged", { detail: `(update ${update})` });
  }
  return { loss, gradientNorm, metrics: metricsOf(outputs) };
}

/** The outputs that the definition named, under its names. */
export function metricsOf(outputs: ReadonlyMap<string, Float32Array>): Record<string, Float32Array> {
  return Object.fromEntries(
    [...outputs]
      .filter(([name]) => name.startsWith(METRIC))
      .map(([name, values]) => [name.slice(METRIC.length), values.slice()]),
  );
}

/** Runs `work` now; what it throws becomes a rejection. */
export function settle(work: () => void): Promise<void> {
  return new Promise((resolve) => {
    work();
    resolve();
  });
}
