/** A training step with the weights and the optimiser's moments inside, on any runtime. */
import { ConsiliumError } from "@consilium/shared/errors";
import { scheduleValues, secondMomentUnit } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  LOSS,
  SCHEDULE,
  batchFeeds,
  firstName,
  metricsOf,
  secondName,
  weightsName,
  type Program,
} from "./program.ts";
import type { ResidentArrays, Runnable, Runtime, Workspace } from "./runtime.ts";
import { assertFits, stateShapes, toArrays, toFlat } from "./state.ts";
import { stepProgram, type StepProgram } from "./step-program.ts";
import type {
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "./types.ts";

/** @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed */
export async function compileTrainStep<I extends InputSpecs>(
  runtime: Runtime,
  definition: TrainStepDefinition<I>,
): Promise<TrainStep<I>> {
  const program = stepProgram(definition);
  const workspace = runtime.openWorkspace(stateShapes(program));
  try {
    return new ResidentTrainStep(definition, program, workspace, await workspace.prepare(program));
  } catch (error) {
    await workspace.dispose();
    throw error;
  }
}

class ResidentTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #definition: TrainStepDefinition<I>;
  readonly #program: StepProgram;
  readonly #workspace: Workspace<Program>;
  readonly #update: Runnable;
  #updates = 0;

  constructor(
    definition: TrainStepDefinition<I>,
    program: StepProgram,
    workspace: Workspace<Program>,
    update: Runnable,
  ) {
    this.#definition = definition;
    this.#program = program;
    this.#workspace = workspace;
    this.#update = update;
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const { optimizer, inputs: specs } = this.#definition;
    const number = this.#updates + 1;
    const feeds = batchFeeds(specs, inputs);
    feeds.set(SCHEDULE, scheduleValues(optimizer, this.#program.scales, learningRate, number));
    const { outputs, commit } = await this.#update.run(feeds);
    const result = stepResult(outputs, number);
    commit();
    this.#updates = number;
    return result;
  }

  async readWeights(): Promise<Float32Array> {
    const { slots, length } = this.#program.layout;
    return toFlat(slots, weightsName, await this.#workspace.read(slots.map(weightsName)), length);
  }

  async writeWeights(values: Float32Array): Promise<void> {
    assertFits(this.#program.layout, values);
    await this.#workspace.write(toArrays(this.#program.layout.slots, weightsName, values));
  }

  async readOptimizerState(): Promise<OptimizerState> {
    const { trainable, layout } = this.#program;
    const arrays = await this.#workspace.read([...trainable.map(firstName), ...trainable.map(secondName)]);
    const unit = secondMomentUnit(this.#definition.optimizer);
    return {
      step: this.#updates,
      firstMoment: toFlat(trainable, firstName, arrays, layout.length),
      secondMoment: toFlat(trainable, secondName, arrays, layout.length).map((value) => value * unit),
    };
  }

  async writeOptimizerState(state: OptimizerState | null): Promise<void> {
    const { trainable, layout } = this.#program;
    const { step, firstMoment, secondMoment } = state ?? zeroMoments(layout.length);
    assertFits(layout, firstMoment);
    assertFits(layout, secondMoment);
    const unit = secondMomentUnit(this.#definition.optimizer);
    await this.#workspace.write(toArrays(trainable, firstName, firstMoment));
    const scaled = secondMoment.map((value) => value / unit);
    await this.#workspace.write(toArrays(trainable, secondName, scaled));
    this.#updates = step;
  }

  dispose(): Promise<void> {
    return this.#workspace.dispose();
  }
}

function zeroMoments(length: number): OptimizerState {
  return { step: 0, firstMoment: new Float32Array(length), secondMoment: new Float32Array(length) };
}

/**
 * Copies what a step has to say out of the arrays that the next one overwrites.
 * @throws training.diverged
 */
function stepResult(outputs: ResidentArrays, update: number): StepResult {
  const loss = outputs.get(LOSS)?.[0] ?? NaN;
  const gradientNorm = outputs.get(GRADIENT_NORM)?.[0] ?? NaN;
  if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
    throw new ConsiliumError("training.diverged", { detail: `(update ${update})` });
  }
  return { loss, gradientNorm, metrics: metricsOf(outputs) };
}
