/** The way of weights and moments between the flat vector and the arrays of a workspace, one per slot. */
import { ConsiliumError } from "@consilium/shared/errors";
import { gather, scatter, type Layout, type Slot } from "./layout.ts";
import { anchorName, firstName, gradientName, secondName, weightsName } from "./program.ts";
import { anchoredSlots } from "./proximal.ts";
import type { ResidentArrays, ResidentShapes } from "./runtime.ts";
import type { StepProgram } from "./step-program.ts";
import type { AdamWOptions } from "./types.ts";

type SlotName = (slot: Slot) => string;

export const weightShapes = ({ slots }: Layout): ResidentShapes =>
  new Map(slots.map((slot) => [weightsName(slot), slot.shape]));

/** Weights of all slots, moments of those that are trained, and their anchors where FedProx holds them. */
export const stateShapes = ({ layout, trainable }: StepProgram, optimizer: AdamWOptions): ResidentShapes =>
  new Map([
    ...anchoredSlots(trainable, optimizer).map((slot): [string, readonly number[]] => [
      anchorName(slot),
      slot.shape,
    ]),
    ...weightShapes(layout),
    ...trainable.flatMap((slot): [string, readonly number[]][] => [
      [firstName(slot), slot.shape],
      [secondName(slot), slot.shape],
    ]),
  ]);

/** One array per trainable slot, for `gradientProgram`. */
export const gradientShapes = ({ trainable }: Pick<StepProgram, "trainable">): ResidentShapes =>
  new Map(trainable.map((slot) => [gradientName(slot), slot.shape]));

/** What sums of gradients start from. */
export const zeroGradients = ({ trainable }: Pick<StepProgram, "trainable">): ResidentArrays =>
  new Map(trainable.map((slot) => [gradientName(slot), new Float32Array(slot.length)]));

/** Cuts a vector in parameter order into one array per slot. */
export function toArrays(slots: readonly Slot[], name: SlotName, flat: Float32Array): ResidentArrays {
  return new Map(
    slots.map((slot) => {
      const array = new Float32Array(slot.length);
      scatter(slot, flat, array);
      return [name(slot), array];
    }),
  );
}

/** A vector of `length` in parameter order, 0 where no slot has an array. */
export function toFlat(
  slots: readonly Slot[],
  name: SlotName,
  arrays: ResidentArrays,
  length: number,
): Float32Array {
  const flat = new Float32Array(length);
  for (const slot of slots) gather(slot, arrays.get(name(slot)) ?? new Float32Array(slot.length), flat);
  return flat;
}

/** @throws frame.wrong-length */
export function assertFits({ length }: Layout, values: Float32Array): void {
  if (values.length === length) return;
  throw new ConsiliumError("frame.wrong-length", {
    detail: `(${values.length} elements instead of ${length})`,
  });
}
