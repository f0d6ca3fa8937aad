/**
 * A training step on several devices: each has a thread, an engine and a copy of the weights, computes the gradient of
 * an equal part of the batch, and updates its copy with the mean of all gradients. The same bits come out wherever
 * the number of devices is the same.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { cutBatch } from "../batch-parts.ts";
import { layOut, trainableSlots } from "../layout.ts";
import { joinMetrics } from "../metrics.ts";
import type {
  EngineOptions,
  InputArray,
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "../types.ts";
import { Barrier, Withdrawn } from "./barrier.ts";
import { digestOf } from "./digest.ts";
import { exchangeMemory } from "./exchange.ts";
import type { ReplicaOptions } from "./replica-protocol.ts";
import { ReplicaThread } from "./replica-thread.ts";

export interface ReplicaGroupOptions<I extends InputSpecs> {
  /** A thread's own file, which calls `serveReplica`. */
  readonly script: URL;
  /** From this the script makes `definition`; anything that can be cloned. */
  readonly recipe: unknown;
  /** With the inputs of one part: a batch has `engines.length * microBatches` of them. */
  readonly definition: Pick<TrainStepDefinition<I>, "parameters" | "inputs">;
  /** One for each replica, alike but for the device. */
  readonly engines: readonly EngineOptions[];
  readonly options?: ReplicaOptions;
}

/**
 * `run` takes the whole batch. If a replica ends in the middle of a step, nothing can be trained any more, but weights
 * and moments from before that step can still be read.
 * @throws engine.not-separable, engine.replica-lost, and what compiling throws
 */
export async function startReplicas<I extends InputSpecs>(
  options: ReplicaGroupOptions<I>,
): Promise<TrainStep<I>> {
  const group = new ReplicaGroup(options);
  try {
    await group.ready();
    return group;
  } catch (error) {
    await group.dispose();
    throw error;
  }
}

class ReplicaGroup<I extends InputSpecs> implements TrainStep<I> {
  /** Of a replica's part of the batch. */
  readonly #inputs: I;
  readonly #replicas: readonly ReplicaThread[];

  constructor({ script, recipe, definition, engines, options = {} }: ReplicaGroupOptions<I>) {
    this.#inputs = repeated(definition.inputs, options.microBatches ?? 1);
    const trainable = trainableSlots(layOut(definition.parameters));
    const length = trainable.reduce((sum, slot) => sum + slot.length, 0);
    const memory = exchangeMemory(engines.length, length);
    const barrier = new Barrier(memory.barrier, engines.length);
    this.#replicas = engines.map(
      (engine, index) =>
        new ReplicaThread(script, { recipe, index, engine, options, memory }, () => {
          barrier.giveUp();
        }),
    );
  }

  async ready(): Promise<void> {
    await everyone(this.#replicas.map(({ ready }) => ready));
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const parts = cutBatch(this.#inputs, inputs, this.#replicas.length).map(copied);
    const results = await everyone(
      this.#replicas.map((replica, i) => {
        const { part = {}, buffers = [] } = parts[i] ?? {};
        return replica.call("run", { inputs: part, learningRate }, buffers);
      }),
    );
    return {
      loss: results.reduce((sum, { loss }) => sum + loss, 0) / results.length,
      // That of the mean gradient, which all replicas have.
      gradientNorm: results[0]?.gradientNorm ?? NaN,
      metrics: joinMetrics(results.map(({ metrics }) => new Map(Object.entries(metrics)))),
    };
  }

  /** @throws engine.replicas-differ */
  async readWeights(): Promise<Float32Array> {
    const [first, ...others] = this.#living();
    const [weights, ...digests] = await Promise.all([
      first.call("readWeights", null),
      ...others.map((replica) => replica.call("digestWeights", null)),
    ]);
    const own = digestOf(weights);
    if (digests.some((digest) => digest !== own)) throw new ConsiliumError("engine.replicas-differ");
    return weights;
  }

  async writeWeights(values: Float32Array, anchor = values): Promise<void> {
    await everyone(this.#living().map((replica) => replica.call("writeWeights", { values, anchor })));
  }

  readOptimizerState(): Promise<OptimizerState> {
    return this.#living()[0].call("readOptimizerState", null);
  }

  async writeOptimizerState(state: OptimizerState | null): Promise<void> {
    await everyone(this.#living().map((replica) => replica.call("writeOptimizerState", state)));
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.close()));
  }

  #living(): readonly [ReplicaThread, ...ReplicaThread[]] {
    const [first, ...others] = this.#replicas.filter(({ alive }) => alive);
    if (first === undefined) throw new ConsiliumError("engine.replica-lost");
    return [first, ...others];
  }
}

/** Waits for all of them, also if one fails. @throws the error of one that did not fail because of another */
async function everyone<Result>(calls: readonly Promise<Result>[]): Promise<Result[]> {
  const outcomes = await Promise.allSettled(calls);
  const errors = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason as unknown] : [],
  );
  if (errors.length > 0) throw errors.find((error) => !(error instanceof Withdrawn)) ?? errors[0];
  return outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
}

/** Arrays of their own, which can be transferred: a view would take the whole batch with it. */
function copied<I extends InputSpecs>(
  views: InputArrays<I>,
): {
  readonly part: InputArrays<InputSpecs>;
  readonly buffers: readonly ArrayBuffer[];
} {
  const arrays = Object.entries<InputArray>(views).map(([name, view]): [string, InputArray] => [
    name,
    view.slice(),
  ]);
  return {
    part: Object.fromEntries(arrays),
    buffers: arrays.map(([, { buffer }]) => buffer as ArrayBuffer),
  };
}

/** Inputs of `count` parts together. */
function repeated<I extends InputSpecs>(inputs: I, count: number): I {
  const whole = Object.entries(inputs).map(
    ([
      name,
      {
        shape: [examples = 0, ...rest],
        dtype,
      },
    ]) => [name, { shape: [examples * count, ...rest], dtype }],
  );
  return Object.fromEntries(whole) as I;
}
