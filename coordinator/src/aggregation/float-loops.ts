/**
 * What is done to every number of every update, four and more at a time, in WebAssembly (float-loops-module.ts) with the bits
 * of the loop in JavaScript. That they are no loops over typed arrays matters as much: those take twice as long in a thread
 * that gives memory back (shared/src/give-back.ts), as this one does with what the cipher answers.
 */
import { instantiate } from "@consilium/shared/assembler";
import { floatLoops, TURN_BYTES } from "./float-loops-module.ts";

/** At a time: they fit the first-level cache. */
const REGION_ELEMENTS = 8192;
/** A turn may go beyond the last sum by so many. */
const SPARE_ELEMENTS = TURN_BYTES / 4;

/** Sums of float32 numbers in float64. They stay in a module's memory, which is given up with them. */
export interface WeightedSums {
  readonly sums: Float64Array;
  /** sums[offset + i] <- sums[offset + i] + weight * values[i], for values that end where the sums do or before */
  readonly add: (offset: number, values: Float32Array, weight: number) => void;
}

/** Zeros at first. */
export function weightedSums(length: number): WeightedSums {
  const source = 8 * (length + SPARE_ELEMENTS);
  const { memory, loops } = instantiate(source + 4 * REGION_ELEMENTS, floatLoops());
  const narrow = new Float32Array(memory.buffer, source, REGION_ELEMENTS);
  return {
    sums: new Float64Array(memory.buffer, 0, length),
    add: (offset, values, weight) => {
      for (let start = 0; start < values.length; start += REGION_ELEMENTS) {
        const part = values.subarray(start, start + REGION_ELEMENTS);
        narrow.set(part);
        // What follows in the last turn is added to by zero; no sum that began at zero is -0, which that would change.
        narrow.fill(0, part.length, turns(part) / 4);
        loops.addWeighted(8 * (offset + start), source, turns(part), weight);
      }
    },
  };
}

/** Index of the first NaN or infinity, or -1. */
export function firstNotFinite(values: Float32Array): number {
  for (let start = 0; start < values.length; start += REGION_ELEMENTS) {
    const part = values.subarray(start, start + REGION_ELEMENTS);
    narrow.set(part);
    narrow.fill(0, part.length, turns(part) / 4);
    if (loops.hasNotFinite(0, turns(part)) === 1) {
      return start + part.findIndex((value) => !Number.isFinite(value));
    }
  }
  return -1;
}

const turns = ({ byteLength }: Float32Array): number => Math.ceil(byteLength / TURN_BYTES) * TURN_BYTES;

const { memory, loops } = instantiate(4 * REGION_ELEMENTS, floatLoops());
const narrow = new Float32Array(memory.buffer, 0, REGION_ELEMENTS);
