/**
 * What a program is: a training step, a part of one or a forward pass as one TF.js function from tensors to tensors.
 * The compiled engine traces it, the reference engine calls it: both run the same code. The programs themselves are
 * in files of their own, next to this one.
 */
import type { TensorArray } from "./arrays.ts";
import type { Layout, Slot } from "./layout.ts";
import * as tf from "./tf.ts";
import type { InputArrays, InputSpec, InputSpecs, InputTensors, Parameter } from "./types.ts";

export type NamedTensors = ReadonlyMap<string, tf.Tensor>;
export type ProgramInputs = Readonly<Record<string, InputSpec>>;

/** A function of named tensors, with the shapes of what goes in. */
export interface Program {
  readonly layout: Layout;
  readonly inputs: ProgramInputs;
  readonly body: (tensors: NamedTensors) => Record<string, tf.Tensor>;
}

// Names of the graph's inputs and outputs.
export const SCHEDULE = "schedule";
export const LOSS = "loss";
/** Factor on the gradients of earlier parts of the batch: 0 for the first part, 1 after that. */
export const KEPT_GRADIENT = "keptGradient";
/** The batch's input that says which examples count, [examples]: 1 or 0. */
export const EXAMPLE_WEIGHT = "exampleWeight";
/** The metric with the norm of each example's gradient before clipping. It never leaves the site. */
export const EXAMPLE_NORM = "exampleNorm";
export const GRADIENT_NORM = "gradientNorm";
export const weightsName = (slot: Slot): string => `${slot.name}.weights`;
export const firstName = (slot: Slot): string => `${slot.name}.first`;
export const secondName = (slot: Slot): string => `${slot.name}.second`;
/** The weights to which FedProx holds. */
export const anchorName = (slot: Slot): string => `${slot.name}.anchor`;
export const gradientName = (slot: Slot): string => `${slot.name}.gradient`;
export const noiseName = (slot: Slot): string => `${slot.name}.noise`;
export const batchName = (input: string): string => `input.${input}`;

const float32 = (shape: readonly number[]): InputSpec => ({ shape, dtype: "float32" });

/** One input in each slot's shape, under the names that `name` gives. */
export const slotInputs = (slots: readonly Slot[], name: (slot: Slot) => string): ProgramInputs =>
  Object.fromEntries(slots.map((slot) => [name(slot), float32(slot.shape)]));

export const vectorInput = (name: string, length: number): ProgramInputs => ({ [name]: float32([length]) });

export const batchInputs = (specs: InputSpecs): ProgramInputs =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [batchName(name), spec]));

/** The weights as the definition knows them, cut out of the slots, in the order of the definition. */
export function parameterTensors(
  parameters: readonly Parameter[],
  layout: Layout,
  tensors: NamedTensors,
): NamedTensors {
  const cut = new Map<string, tf.Tensor>();
  for (const slot of layout.slots) {
    const whole = named(tensors, weightsName(slot));
    const parts =
      slot.members.length === 1
        ? [whole]
        : tf.split(
            whole,
            slot.members.map(({ length }) => length),
          );
    slot.members.forEach(({ parameter }, i) => {
      const part = parts[i];
      if (part !== undefined) cut.set(parameter.name, tf.reshape(part, [...parameter.shape]));
    });
  }
  return new Map(parameters.map(({ name }) => [name, named(cut, name)]));
}

export function batchTensors<I extends InputSpecs>(specs: I, tensors: NamedTensors): InputTensors<I> {
  const batch = Object.keys(specs).map((name) => [name, named(tensors, batchName(name))]);
  return Object.fromEntries(batch) as InputTensors<I>;
}

/** @throws RangeError: a mistake in a program */
export function named(tensors: NamedTensors, name: string): tf.Tensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new RangeError(`there is no tensor ${name}`);
  return tensor;
}

/** The arrays of a batch under the names of the program's inputs. */
export function batchFeeds<I extends InputSpecs>(specs: I, inputs: InputArrays<I>): Map<string, TensorArray> {
  return new Map(Object.keys(specs).map((name) => [batchName(name), inputs[name] as TensorArray]));
}
