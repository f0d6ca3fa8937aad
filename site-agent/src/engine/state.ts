/** Weights and moments as arrays, one per slot, and their way to and from the flat vector. */
import { ConsiliumError } from "@consilium/shared/errors";
import { gather, scatter, type Layout, type Slot } from "./layout.ts";
import { secondMomentUnit } from "./optimizer.ts";
import { firstName, nextName, secondName, weightsName, type StepProgram } from "./program.ts";
import type { TensorArray } from "./providers/provider.ts";
import type { AdamWOptions, OptimizerState } from "./types.ts";

export class SlotArrays {
  readonly #slots: readonly Slot[];
  readonly #arrays: ReadonlyMap<Slot, Float32Array>;

  constructor(slots: readonly Slot[]) {
    this.#slots = slots;
    this.#arrays = new Map(slots.map((slot) => [slot, new Float32Array(slot.length)]));
  }

  of(slot: Slot): Float32Array {
    const array = this.#arrays.get(slot);
    if (array === undefined) throw new RangeError(`${slot.name} has no array`);
    return array;
  }

  /** Fills the arrays from a vector in parameter order. */
  write(flat: Float32Array): void {
    for (const slot of this.#slots) scatter(slot, flat, this.of(slot));
  }

  clear(): void {
    for (const slot of this.#slots) this.of(slot).fill(0);
  }

  /** A vector of `length` in parameter order, 0 where no slot has an array. */
  read(length: number): Float32Array {
    const flat = new Float32Array(length);
    for (const slot of this.#slots) gather(slot, this.of(slot), flat);
    return flat;
  }
}

/** @throws frame.wrong-length */
export function assertFits({ length }: Layout, values: Float32Array): void {
  if (values.length === length) return;
  throw new ConsiliumError("frame.wrong-length", {
    detail: `(${values.length} elements instead of ${length})`,
  });
}

/** Everything that a step changes. Frozen slots have weights only. */
export class StepState {
  readonly weights: SlotArrays;
  readonly #program: StepProgram;
  readonly #first: SlotArrays;
  readonly #second: SlotArrays;

  constructor(program: StepProgram) {
    this.#program = program;
    this.weights = new SlotArrays(program.layout.slots);
    this.#first = new SlotArrays(program.trainable);
    this.#second = new SlotArrays(program.trainable);
  }

  /** By the names of the program's inputs. */
  inputArrays(): Map<string, TensorArray> {
    const arrays = new Map<string, TensorArray>();
    for (const slot of this.#program.layout.slots) arrays.set(weightsName(slot), this.weights.of(slot));
    for (const slot of this.#program.trainable) {
      arrays.set(firstName(slot), this.#first.of(slot));
      arrays.set(secondName(slot), this.#second.of(slot));
    }
    return arrays;
  }

  /** By the names of the program's outputs. */
  outputArrays(): Map<string, Float32Array> {
    const arrays = new Map<string, Float32Array>();
    for (const slot of this.#program.trainable) {
      arrays.set(nextName(weightsName(slot)), this.weights.of(slot));
      arrays.set(nextName(firstName(slot)), this.#first.of(slot));
      arrays.set(nextName(secondName(slot)), this.#second.of(slot));
    }
    return arrays;
  }

  readMoments(step: number, betas: AdamWOptions): OptimizerState {
    const { length } = this.#program.layout;
    const unit = secondMomentUnit(betas);
    return {
      step,
      firstMoment: this.#first.read(length),
      secondMoment: this.#second.read(length).map((value) => value * unit),
    };
  }

  /**
   * null resets.
   * @throws frame.wrong-length
   */
  writeMoments(state: OptimizerState | null, betas: AdamWOptions): void {
    if (state === null) {
      this.#first.clear();
      this.#second.clear();
      return;
    }
    assertFits(this.#program.layout, state.firstMoment);
    assertFits(this.#program.layout, state.secondMoment);
    const unit = secondMomentUnit(betas);
    this.#first.write(state.firstMoment);
    this.#second.write(state.secondMoment.map((value) => value / unit));
  }
}
