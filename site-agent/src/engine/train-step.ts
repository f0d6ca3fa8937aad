/** A training step with the weights and the optimiser's moments inside, on any runtime. */
import { ConsiliumError } from "@consilium/shared/errors";
import { microBatchUpdate } from "./micro-batch-update.ts";
import { scheduleValues, secondMomentUnit } from "./optimizer.ts";
import { privateUpdate } from "./private-update.ts";
import { anchorName, firstName, secondName, weightsName, type Program } from "./program.ts";
import { anchoredSlots } from "./proximal.ts";
import { replicaUpdate } from "./replica-update.ts";
import type { Runtime, Workspace } from "./runtime.ts";
import { assertFits, gradientShapes, stateShapes, toArrays, toFlat } from "./state.ts";
import { stepProgram, type StepProgram } from "./step-program.ts";
import type {
  InputArrays,
  InputSpecs,
  OptimizerState,
  StepOptions,
  StepResult,
  TrainStep,
  TrainStepDefinition,
} from "./types.ts";
import type { Update } from "./update.ts";
import { wholeBatchUpdate } from "./whole-batch-update.ts";

/**
 * @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape, engine.compile-failed,
 *   engine.not-separable if a batch cannot be cut into micro-batches, privacy.not-per-example, privacy.unsupported
 */
export async function compileTrainStep<I extends InputSpecs>(
  runtime: Runtime,
  definition: TrainStepDefinition<I>,
  options: StepOptions = {},
): Promise<TrainStep<I>> {
  const program = stepProgram(definition);
  const accumulated = accumulates(options) ? gradientShapes(program) : [];
  const workspace = runtime.openWorkspace(
    new Map([...stateShapes(program, definition.optimizer), ...accumulated]),
  );
  try {
    const update = await compileUpdate(workspace, definition, options);
    return new ResidentTrainStep(definition, program, workspace, update);
  } catch (error) {
    await workspace.dispose();
    throw error;
  }
}

/** A replica adds up in the memory that it shares. */
const accumulates = ({ microBatches = 1, exchange, privacy }: StepOptions): boolean =>
  privacy !== undefined || (microBatches > 1 && exchange === undefined);

function compileUpdate<I extends InputSpecs>(
  workspace: Workspace<Program>,
  definition: TrainStepDefinition<I>,
  options: StepOptions,
): Promise<Update<I>> {
  const { microBatches = 1, recompute = false, exchange, privacy } = options;
  if (privacy !== undefined) {
    assertAlone(options);
    return privateUpdate(workspace, definition, privacy);
  }
  if (exchange !== undefined) {
    return replicaUpdate(workspace, definition, { microBatches, recompute, exchange });
  }
  if (accumulates(options)) return microBatchUpdate(workspace, definition, { microBatches, recompute });
  return wholeBatchUpdate(workspace, definition, { recompute });
}

/** @throws privacy.unsupported */
function assertAlone({ microBatches = 1, recompute = false, exchange }: StepOptions): void {
  const others = [
    ...(microBatches > 1 ? ["micro-batches"] : []),
    ...(recompute ? ["recompute"] : []),
    ...(exchange === undefined ? [] : ["devices"]),
  ];
  if (others.length === 0) return;
  throw new ConsiliumError("privacy.unsupported", { detail: `(${others.join(", ")})`, culprits: others });
}

class ResidentTrainStep<I extends InputSpecs> implements TrainStep<I> {
  readonly #definition: TrainStepDefinition<I>;
  readonly #program: Pick<StepProgram, "layout" | "trainable" | "scales">;
  readonly #workspace: Workspace<Program>;
  readonly #update: Update<I>;
  #updates = 0;

  constructor(
    definition: TrainStepDefinition<I>,
    program: Pick<StepProgram, "layout" | "trainable" | "scales">,
    workspace: Workspace<Program>,
    update: Update<I>,
  ) {
    this.#definition = definition;
    this.#program = program;
    this.#workspace = workspace;
    this.#update = update;
  }

  async run(inputs: InputArrays<I>, learningRate: number): Promise<StepResult> {
    const number = this.#updates + 1;
    const { optimizer } = this.#definition;
    const schedule = scheduleValues(optimizer, this.#program.scales, learningRate, number);
    const result = await this.#update.run(inputs, schedule, number);
    this.#updates = number;
    return result;
  }

  async readWeights(): Promise<Float32Array> {
    const { slots, length } = this.#program.layout;
    return toFlat(slots, weightsName, await this.#workspace.read(slots.map(weightsName)), length);
  }

  async writeWeights(values: Float32Array, anchor = values): Promise<void> {
    assertFits(this.#program.layout, values);
    assertFits(this.#program.layout, anchor);
    await this.#workspace.write(toArrays(this.#program.layout.slots, weightsName, values));
    const anchored = anchoredSlots(this.#program.trainable, this.#definition.optimizer);
    if (anchored.length > 0) await this.#workspace.write(toArrays(anchored, anchorName, anchor));
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
