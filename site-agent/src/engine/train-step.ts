/** A training step compiled to one graph, with the weights and the optimiser's moments inside. */
import { ConsiliumError } from "@consilium/shared/errors";
import { optimize } from "./graph/passes/optimize.ts";
import { sizeOf, type Graph } from "./graph/ir.ts";
import { scheduleValues, secondMomentUnit } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  LOSS,
  METRIC,
  SCHEDULE,
  SlotArrays,
  batchName,
  firstName,
  nextName,
  secondName,
  stepProgram,
  weightsName,
  type StepProgram,
} from "./program.ts";
import type { CompiledGraph, Provider, TensorArray } from "./providers/provider.ts";
import { trace } from "./tracer/trace.ts";
import type {
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "./types.ts";

/** The step's graph as it is handed to a provider; tests and benchmarks look at it too. */
export function traceTrainStep<I extends InputSpecs>(definition: TrainStepDefinition<I>): Graph {
  const { inputs, body } = stepProgram(definition);
  return optimize(trace(inputs, body));
}

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function compileTrainStep<I extends InputSpecs>(
  provider: Provider,
  definition: TrainStepDefinition<I>,
): Promise<TrainStep<I>> {
  const program = stepProgram(definition);
  const graph = optimize(trace(program.inputs, program.body));
  const compiled = await provider.compile(graph);
  return new CompiledTrainStep(definition, program, graph, compiled);
}

/** Weights and moments: one such set is read by a step, the other one written. */
interface State {
  readonly weights: SlotArrays;
  readonly first: SlotArrays;
  readonly second: SlotArrays;
}

class CompiledTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #definition: TrainStepDefinition<I>;
  readonly #program: StepProgram;
  readonly #graph: CompiledGraph;
  readonly #results: ReadonlyMap<string, Float32Array>;
  #current: State;
  #next: State;
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
    const { slots } = program.layout;
    const { trainable } = program;
    const state = (): State => ({
      weights: new SlotArrays(slots),
      first: new SlotArrays(trainable),
      second: new SlotArrays(trainable),
    });
    this.#current = state();
    this.#next = state();
    const written = this.#outputArrays(this.#next);
    this.#results = new Map(
      graph.outputs
        .filter(({ name }) => !written.has(name))
        .map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
    );
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const { optimizer } = this.#definition;
    const feeds = this.#inputArrays(this.#current);
    feeds.set(SCHEDULE, scheduleValues(optimizer, this.#program.scales, learningRate, this.#updates + 1));
    for (const name of Object.keys(this.#definition.inputs))
      feeds.set(batchName(name), inputs[name] as TensorArray);
    const fetches = this.#outputArrays(this.#next);
    for (const [name, array] of this.#results) fetches.set(name, array);

    await this.#graph.run(feeds, fetches);

    const loss = this.#result(LOSS)[0] ?? NaN;
    const gradientNorm = this.#result(GRADIENT_NORM)[0] ?? NaN;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new ConsiliumError("training.diverged", { detail: `(update ${this.#updates + 1})` });
    }
    [this.#current, this.#next] = [this.#next, this.#current];
    this.#updates++;
    return { loss, gradientNorm, metrics: this.#metrics() };
  }

  readWeights(): Promise<Float32Array> {
    return Promise.resolve(this.#current.weights.readInto(new Float32Array(this.#program.layout.length)));
  }

  writeWeights(values: Float32Array): Promise<void> {
    this.#assertLength(values);
    // Frozen weights are not written by the graph, so both sets hold them.
    this.#next.weights.write(values);
    this.#current.weights.write(values);
    return Promise.resolve();
  }

  readOptimizerState(): Promise<OptimizerState> {
    const { length } = this.#program.layout;
    return Promise.resolve({
      step: this.#updates,
      firstMoment: this.#current.first.readInto(new Float32Array(length)),
      secondMoment: scaled(this.#current.second.readInto(new Float32Array(length)), this.#unit()),
    });
  }

  writeOptimizerState(state: OptimizerState | null): Promise<void> {
    if (state !== null) {
      this.#assertLength(state.firstMoment);
      this.#assertLength(state.secondMoment);
    }
    this.#updates = state?.step ?? 0;
    this.#current.first.write(state?.firstMoment ?? null);
    this.#current.second.write(state === null ? null : scaled(state.secondMoment, 1 / this.#unit()));
    return Promise.resolve();
  }

  #unit(): number {
    return secondMomentUnit(this.#definition.optimizer);
  }

  dispose(): Promise<void> {
    return this.#graph.dispose();
  }

  #inputArrays({ weights, first, second }: State): Map<string, TensorArray> {
    const { layout, trainable } = this.#program;
    const arrays = new Map<string, TensorArray>();
    for (const slot of layout.slots) arrays.set(weightsName(slot), weights.of(slot));
    for (const slot of trainable) {
      arrays.set(firstName(slot), first.of(slot));
      arrays.set(secondName(slot), second.of(slot));
    }
    return arrays;
  }

  /** Frozen slots go in but do not come out. */
  #outputArrays({ weights, first, second }: State): Map<string, TensorArray> {
    const arrays = new Map<string, TensorArray>();
    for (const slot of this.#program.trainable) {
      arrays.set(nextName(weightsName(slot)), weights.of(slot));
      arrays.set(nextName(firstName(slot)), first.of(slot));
      arrays.set(nextName(secondName(slot)), second.of(slot));
    }
    return arrays;
  }

  #metrics(): Record<string, Float32Array> {
    return Object.fromEntries(
      [...this.#results]
        .filter(([name]) => name.startsWith(METRIC))
        .map(([name, values]) => [name.slice(METRIC.length), values.slice()]),
    );
  }

  #result(name: string): Float32Array {
    const values = this.#results.get(name);
    if (values === undefined) throw new RangeError(`the graph has no output ${name}`);
    return values;
  }

  #assertLength(values: Float32Array): void {
    const { length } = this.#program.layout;
    if (values.length === length) return;
    throw new ConsiliumError("frame.wrong-length", {
      detail: `(${values.length} elements instead of ${length})`,
    });
  }
}

const scaled = (values: Float32Array, factor: number): Float32Array => values.map((value) => value * factor);
