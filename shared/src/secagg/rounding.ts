/**
 * Rounding to either side at random: floor(v + u) with u uniform in [0, 1) has expectation v. The loop over a model's weights
 * is WebAssembly SIMD (rounding-module.ts), which takes a fifth of the time of the one in JavaScript and gives the same bits:
 * both do the same operations of IEEE 754 in the same order.
 */
import { ConsiliumError } from "../errors.ts";
import { instantiate } from "../assembler.ts";
import type { BodyBits } from "./levels.ts";
import { roundingLoops, TURN_ELEMENTS } from "./rounding-module.ts";

export interface Scale {
  /** What is beyond is clipped and counted. */
  readonly bound: number;
  /** Steps on either side of zero. */
  readonly levels: number;
  /** From 0 to 1. */
  readonly weight: number;
}

/** Random bits, 32 an element, with 2^-32 as their unit. */
type Noise = Uint32Array;
const UNIT = 2 ** -32;

const factorOf = ({ bound, levels, weight }: Scale): number => (levels * weight) / bound;

/**
 * @param noise at least as long as the target
 * @param name whom an error names
 * @returns how many elements were beyond the bound
 * @throws vector.not-finite
 */
export function roundInto(
  target: Int32Array | Int16Array,
  source: Float32Array | Float64Array,
  noise: Noise,
  scale: Scale,
  name: string,
): number {
  const { bound, levels } = scale;
  const factor = factorOf(scale);
  const length = target.length;
  let clipped = 0;
  for (let i = 0; i < length; i++) {
    let value = source[i] ?? NaN;
    if (!(value <= bound && value >= -bound)) {
      if (!Number.isFinite(value)) throw notFinite(name);
      value = value > 0 ? bound : -bound;
      clipped++;
    }
    // Below 2^31 in magnitude, because there are at least three sites.
    const rounded = Math.floor(value * factor + (noise[i] ?? 0) * UNIT) | 0;
    // The product may be an ulp beyond the levels; the headroom's proof (layout.ts) rests on this clamp alone.
    target[i] = rounded > levels ? levels : rounded < -levels ? -levels : rounded;
  }
  return clipped;
}

/** The same for the weights of a model, which are many. */
export function roundWeightsInto(
  bits: BodyBits,
  target: Uint8Array,
  source: Float32Array,
  noise: Uint8Array,
  scale: Scale,
  name: string,
): number {
  const elementBytes = bits / 8;
  let clipped = 0;
  for (let start = 0; start < source.length; start += REGION_ELEMENTS) {
    const part = source.subarray(start, start + REGION_ELEMENTS);
    const bytes = target.subarray(start * elementBytes, (start + part.length) * elementBytes);
    clipped += roundRegion(bits, bytes, part, noise.subarray(4 * start, 4 * (start + part.length)), scale);
  }
  // What is not finite is beyond any bound.
  if (clipped > 0 && !source.every(Number.isFinite)) throw notFinite(name);
  return clipped;
}

function roundRegion(
  bits: BodyBits,
  target: Uint8Array,
  source: Float32Array,
  noise: Uint8Array,
  scale: Scale,
): number {
  const padded = Math.ceil(source.length / TURN_ELEMENTS) * TURN_ELEMENTS;
  floats.set(source);
  floats.fill(0, source.length, padded);
  memory.set(noise, REGION_BYTES);
  const loop = bits === 32 ? loops.round32 : loops.round16;
  const inside = loop(TARGET, 0, REGION_BYTES, 4 * padded, scale.bound, factorOf(scale), scale.levels);
  target.set(memory.subarray(TARGET, TARGET + target.length));
  return padded - inside;
}

const notFinite = (name: string): ConsiliumError =>
  new ConsiliumError("vector.not-finite", { culprits: [name] });

/** A third of the memory is for values, one for noise, one for what becomes of them. */
const REGION_BYTES = 64 * 1024;
const REGION_ELEMENTS = REGION_BYTES / 4;
const TARGET = 2 * REGION_BYTES;

const { memory, loops } = instantiate(3 * REGION_BYTES, roundingLoops());
const floats = new Float32Array(memory.buffer, 0, REGION_ELEMENTS);
