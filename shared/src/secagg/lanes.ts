/**
 * Sums modulo 2^16 and 2^32, sixteen bytes at a time: four loops of WebAssembly SIMD (lanes-module.ts).
 * A loop in JavaScript adds at 2 GB/s and takes longer than the cipher whose output it adds; this one adds at 30 GB/s,
 * and the copies into the module's memory and back cost little more.
 */
import { instantiate } from "../assembler.ts";
import { TURN_BYTES, laneLoops } from "./lanes-module.ts";
import type { BodyBits } from "./levels.ts";

export type Sign = 1 | -1;

/** A third of the memory is for a target, one for a source, one for a target that is held; all fit the second-level cache. */
const REGION_BYTES = 64 * 1024;

const HELD = 2 * REGION_BYTES;

/** target <- target + sign * source, as little-endian integers of that width; both equally long, at any address. */
export function addLanes(bits: BodyBits, target: Uint8Array, source: Uint8Array, sign: Sign): void {
  const loop = bits === 32 ? (sign === 1 ? "add32" : "subtract32") : sign === 1 ? "add16" : "subtract16";
  for (let start = 0; start < target.length; start += REGION_BYTES) {
    const end = Math.min(target.length, start + REGION_BYTES);
    const length = end - start;
    memory.set(target.subarray(start, end), 0);
    memory.set(source.subarray(start, end), REGION_BYTES);
    loops[loop](0, REGION_BYTES, Math.ceil(length / TURN_BYTES) * TURN_BYTES);
    target.set(memory.subarray(0, length), start);
  }
}

/**
 * target <- target + sum of sign * source, for sources that are made one after the other. The target stays in the module's
 * memory meanwhile: two thirds of the copies of `addLanes` fall away, which with many sources is most of them.
 * @param target at most 64 KiB
 * @param sources each as long as the target
 */
export function addAllLanes(
  bits: BodyBits,
  target: Uint8Array,
  sources: Iterable<{ readonly bytes: Uint8Array; readonly sign: Sign }>,
): void {
  if (target.length > REGION_BYTES) throw new RangeError(`${target.length} bytes at once`);
  const turns = Math.ceil(target.length / TURN_BYTES) * TURN_BYTES;
  const [add, subtract] = bits === 32 ? [loops.add32, loops.subtract32] : [loops.add16, loops.subtract16];
  // Held in a region that `addLanes` does not use, should a source be made with its help.
  memory.set(target, HELD);
  for (const { bytes, sign } of sources) {
    memory.set(bytes, REGION_BYTES);
    if (turns > 0) (sign === 1 ? add : subtract)(HELD, REGION_BYTES, turns);
  }
  target.set(memory.subarray(HELD, HELD + target.length));
}

const { memory, loops } = instantiate(3 * REGION_BYTES, laneLoops());
