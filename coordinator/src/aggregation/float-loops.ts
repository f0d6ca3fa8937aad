/**
 * What is done to every number of every update, four and more at a time, in WebAssembly (float-loops-module.ts) with the bits
 * of the loop in JavaScript. That they are no loops over typed arrays matters as much: those take twice as long in a thread
 * that gives memory back (shared/src/give-back.ts), as this one does with what the cipher answers.
 */
import { instantiate } from "@consilium/shared/assembler";
import { floatLoops, TURN_BYTES } from "./float-loops-module.ts";

/** At a time: with their sums they fit the second-level cache. */
const REGION_ELEMENTS = 8192;
const SOURCE = 8 * REGION_ELEMENTS;

/** target[i] <- target[i] + weight * values[i]; both equally long. */
export function addWeighted(target: Float64Array, values: Float32Array, weight: number): void {
  for (let start = 0; start < values.length; start += REGION_ELEMENTS) {
    const part = values.subarray(start, start + REGION_ELEMENTS);
    const sums = target.subarray(start, start + part.length);
    wide.set(sums);
    narrow.set(part);
    loops.addWeighted(0, SOURCE, turns(part), weight);
    sums.set(wide.subarray(0, part.length));
  }
}

/** Index of the first NaN or infinity, or -1. */
export function firstNotFinite(values: Float32Array): number {
  for (let start = 0; start < values.length; start += REGION_ELEMENTS) {
    const part = values.subarray(start, start + REGION_ELEMENTS);
    narrow.set(part);
    narrow.fill(0, part.length, turns(part) / 4);
    if (loops.hasNotFinite(SOURCE, turns(part)) === 1) {
      return start + part.findIndex((value) => !Number.isFinite(value));
    }
  }
  return -1;
}

const turns = ({ byteLength }: Float32Array): number => Math.ceil(byteLength / TURN_BYTES) * TURN_BYTES;

const { memory, loops } = instantiate(SOURCE + 4 * REGION_ELEMENTS, floatLoops());
const wide = new Float64Array(memory.buffer, 0, REGION_ELEMENTS);
const narrow = new Float32Array(memory.buffer, SOURCE, REGION_ELEMENTS);
