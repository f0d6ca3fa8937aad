/**
 * The same engine run eagerly on one of TF.js' own backends: slow, and what tests and benchmarks compare with.
 * The caller has imported the backend's package.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { scheduleValues } from "./optimizer.ts";
import {
  SCHEDULE,
  batchName,
  forwardProgram,
  stepProgram,
  weightsName,
  type Program,
  type StepProgram,
} from "./program.ts";
import type { TensorArray } from "./providers/provider.ts";
import { SlotArrays, StepState, assertFits } from "./state.ts";
import * as tf from "./tf.ts";
import { activeBackend } from "./tracer/trace.ts";
import { metricsOf, settle, stepResult } from "./train-step.ts";
import type {
  Engine,
  Inference,
  InferenceDefinition,
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "./types.ts";

/** @param backend TF.js' name, for example `cpu` or `wasm` */
export function createReferenceEngine(backend: string): Engine {
  return {
    name: `tfjs/${backend}`,
    compileTrainStep: (definition) => Promise.resolve(new ReferenceTrainStep(backend, definition)),
    compileInference: (definition) => Promise.resolve(new ReferenceInference(backend, definition)),
  };
}

/** Runs a program on `backend` and returns its outputs as arrays. TF.js' active backend is restored. */
async function evaluate(
  backend: string,
  program: Program,
  arrays: ReadonlyMap<string, TensorArray>,
): Promise<Map<string, Float32Array>> {
  const previous = activeBackend();
  await tf.setBackend(backend);
  try {
    const outputs = tf.tidy(() => {
      const tensors = new Map<string, tf.Tensor>();
      for (const [name, { shape, dtype }] of Object.entries(program.inputs)) {
        const array = arrays.get(name);
        if (array === undefined) throw new ConsiliumError("engine.run-failed", { culprits: [name] });
        const values = array instanceof Uint8Array ? Float32Array.from(array) : array;
        tensors.set(name, tf.tensor(values, [...shape], dtype === "int32" ? "int32" : "float32"));
      }
      return program.body(tensors);
    });
    const results = new Map<string, Float32Array>();
    for (const [name, tensor] of Object.entries(outputs)) {
      results.set(name, Float32Array.from(await tensor.data()));
      tensor.dispose();
    }
    return results;
  } finally {
    if (typeof previous === "string" && previous !== backend) await tf.setBackend(previous);
  }
}

class ReferenceTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #backend: string;
  readonly #definition: TrainStepDefinition<I>;
  readonly #program: StepProgram;
  readonly #state: StepState;
  #updates = 0;

  constructor(backend: string, definition: TrainStepDefinition<I>) {
    this.#backend = backend;
    this.#definition = definition;
    this.#program = stepProgram(definition);
    this.#state = new StepState(this.#program);
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const { optimizer, inputs: specs } = this.#definition;
    const update = this.#updates + 1;
    const arrays = this.#state.inputArrays();
    arrays.set(SCHEDULE, scheduleValues(optimizer, this.#program.scales, learningRate, update));
    for (const name of Object.keys(specs)) arrays.set(batchName(name), inputs[name] as TensorArray);

    const outputs = await evaluate(this.#backend, this.#program, arrays);

    const result = stepResult(outputs, update);
    for (const [name, array] of this.#state.outputArrays()) array.set(outputs.get(name) ?? []);
    this.#updates = update;
    return result;
  }

  readWeights(): Promise<Float32Array> {
    return Promise.resolve(this.#state.weights.read(this.#program.layout.length));
  }

  writeWeights(values: Float32Array): Promise<void> {
    return settle(() => {
      assertFits(this.#program.layout, values);
      this.#state.weights.write(values);
    });
  }

  readOptimizerState(): Promise<OptimizerState> {
    return Promise.resolve(this.#state.readMoments(this.#updates, this.#definition.optimizer));
  }

  writeOptimizerState(state: OptimizerState | null): Promise<void> {
    return settle(() => {
      this.#state.writeMoments(state, this.#definition.optimizer);
      this.#updates = state?.step ?? 0;
    });
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

class ReferenceInference<I extends InputSpecs> implements Inference<I> {
  readonly #backend: string;
  readonly #definition: InferenceDefinition<I>;
  readonly #program: Program;
  readonly #weights: SlotArrays;

  constructor(backend: string, definition: InferenceDefinition<I>) {
    this.#backend = backend;
    this.#definition = definition;
    this.#program = forwardProgram(definition);
    this.#weights = new SlotArrays(this.#program.layout.slots);
  }

  async run(inputs: InputArrays<I>): Promise<Readonly<Record<string, Float32Array>>> {
    const arrays = new Map<string, TensorArray>();
    for (const slot of this.#program.layout.slots) arrays.set(weightsName(slot), this.#weights.of(slot));
    for (const name of Object.keys(this.#definition.inputs)) {
      arrays.set(batchName(name), inputs[name] as TensorArray);
    }
    return metricsOf(await evaluate(this.#backend, this.#program, arrays));
  }

  writeWeights(values: Float32Array): Promise<void> {
    return settle(() => {
      assertFits(this.#program.layout, values);
      this.#weights.write(values);
    });
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}
