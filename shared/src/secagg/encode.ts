/**
 * Real numbers to ring elements: x = round_stochastically(clip(value, bound) * weight * Q / bound), clamped to [-Q, Q].
 * Rounding is unbiased (rounding.ts). Its randomness is a keystream of a key that the site draws for the attempt, so that a
 * retry gives the same bytes. Where sites are protected the update is cut to its norm before, and noise in whole steps is
 * added after.
 */
import { createHmac } from "node:crypto";
import { ConsiliumError } from "../errors.ts";
import { SecureRandom } from "../privacy/secure-random.ts";
import { l2Norm } from "../vector.ts";
import {
  ALIGNMENT_BYTES,
  geometryOf,
  tailFields,
  type Extra,
  type Geometry,
  type VectorLayout,
} from "./layout.ts";
import { giveBack } from "../give-back.ts";
import { BLOCK_BYTES, addMasks, maskBlock, type MaskTerm } from "./masks.ts";
import { roundInto, roundWeightsInto, type Scale } from "./rounding.ts";
import { addToBlock, blockRanges, int16s, int32s, uint32s, type Block } from "./ring.ts";

export interface PrivateValues {
  /** The delta from the base checkpoint, in manifest order. */
  readonly update: Float32Array;
  /** At least 1; beyond the layout's cap it counts as the cap. */
  readonly examples: number;
  /** By name, as many numbers as the layout says. */
  readonly extras: Readonly<Record<string, ArrayLike<number>>>;
  /** 32 random bytes of this attempt. Never leaves the site. */
  readonly roundingKey: Uint8Array;
}

/** Of one site and attempt; holds no state beside its arguments. */
export interface Encoder {
  readonly geometry: Geometry;
  /**
   * Elements of the body in order, as bytes. Calls may come in any order and from any thread, each with an encoder of
   * its own; `clipped` is then summed and handed to `tail`.
   */
  readonly body: (offset: number, length: number) => { readonly bytes: Uint8Array; readonly clipped: number };
  /** The tail; `bodyClipped` is the sum over all blocks of the body. */
  readonly tail: (bodyClipped: number) => Uint8Array;
}

/**
 * @throws frame.wrong-length if a vector is longer or shorter than the layout says
 * @throws vector.not-finite, naming the field, as soon as a NaN or infinity is met
 * @throws RangeError unless examples is a whole number from 1
 */
export function encoder(layout: VectorLayout, values: PrivateValues): Encoder {
  const geometry = geometryOf(layout);
  const { examples, roundingKey } = values;
  const { noise: siteNoise } = layout;
  if (!Number.isSafeInteger(examples) || examples < 1) throw new RangeError(`${examples} examples`);
  assertFieldLength("update", geometry.bodyLength, values.update.length);
  const update = siteNoise === undefined ? values.update : cutToNorm(values.update, siteNoise.clipL2Norm);
  for (const { name, length } of layout.extras)
    assertFieldLength(name, length, values.extras[name]?.length ?? 0);
  const counted = Math.min(examples, layout.examplesCap);
  const weight = counted / layout.examplesCap;
  const starts = tensorStarts(layout);

  const body = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    const elements = geometry.bodyBits === 32 ? int32s(bytes) : int16s(bytes);
    const first = (offset * 8) / geometry.bodyBits;
    const noise = maskBlock(roundingKey, first * 4, elements.length * 4);
    const secure = siteNoise && new SecureRandom(noiseKey(roundingKey, offset));
    let clipped = 0;
    for (const tensor of starts) {
      const { name, bound } = tensor;
      const from = Math.max(tensor.start, first);
      const to = Math.min(tensor.end, first + elements.length);
      if (from >= to) continue;
      const source = update.subarray(from, to);
      const scale: Scale = { bound, levels: geometry.bodyLevels, weight };
      const [start, end] = [from - first, to - first];
      const target = bytes.subarray((start * geometry.bodyBits) / 8, (end * geometry.bodyBits) / 8);
      clipped += roundWeightsInto(
        geometry.bodyBits,
        target,
        source,
        noise.subarray(4 * start, 4 * end),
        scale,
        name,
      );
      if (siteNoise === undefined || secure === undefined) continue;
      const stdDev = (siteNoise.stdDev * scale.levels) / bound;
      addNoise(elements.subarray(start, end), secure, stdDev, scale);
    }
    giveBack(noise);
    return { bytes, clipped };
  };

  const tail = (bodyClipped: number): Uint8Array => {
    const words = new Int32Array(geometry.tailWords);
    // Rounding of the tail reads the keystream behind the body's.
    const noiseStart = Math.ceil((4 * geometry.bodyLength) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    const noise = uint32s(maskBlock(roundingKey, noiseStart, 4 * words.length));
    let clipped = bodyClipped;
    for (const { extra, start } of tailFields(layout)) {
      const target = words.subarray(start, start + extra.length);
      const source = values.extras[extra.name] ?? [];
      clipped += encodeExtra(target, source, noise.subarray(start), extra, {
        levels: geometry.tailLevels,
        weight,
      });
    }
    words[0] = counted;
    words[1] = Math.min(clipped, geometry.clippedMost);
    return new Uint8Array(words.buffer);
  };
  return { geometry, body, tail };
}

/**
 * The masked vector block by block, encoded and masked on the way: memory stays near the update itself.
 * @param terms the site's masks; `[]` gives the plain encoding
 * @throws like `encoder`, and secagg.spent
 */
export function* maskedBlocks(
  layout: VectorLayout,
  values: PrivateValues,
  terms: readonly MaskTerm[],
  blockBytes = BLOCK_BYTES,
): Generator<Block, void, undefined> {
  const { geometry, body, tail } = encoder(layout, values);
  let clipped = 0;
  for (const { offset, length } of blockRanges(geometry, blockBytes)) {
    const encoded = offset < geometry.bodyBytes ? body(offset, length) : { bytes: tail(clipped), clipped: 0 };
    clipped += encoded.clipped;
    const block = { offset, bytes: encoded.bytes };
    addMasks(geometry, block, terms);
    yield block;
  }
}

/** Adds the encoded update to a block of the body, where the masks may be already. @returns how many elements were clipped */
export function addEncoded(encoding: Encoder, block: Block): number {
  const { bytes, clipped } = encoding.body(block.offset, block.bytes.length);
  addToBlock(encoding.geometry, block, bytes, 1);
  giveBack(bytes);
  return clipped;
}

function tensorStarts({ tensors }: VectorLayout) {
  let next = 0;
  return tensors.map(({ name, length, bound }) => {
    const start = next;
    next += length;
    return { name, start, end: next, bound };
  });
}

function encodeExtra(
  target: Int32Array,
  source: ArrayLike<number>,
  noise: Uint32Array,
  extra: Extra,
  { levels, weight }: { readonly levels: number; readonly weight: number },
): number {
  if (extra.kind === "real") {
    const scale = { bound: extra.bound, levels, weight: extra.weighted ? weight : 1 };
    return roundInto(target, Float64Array.from(source), noise, scale, extra.name);
  }
  let clipped = 0;
  for (let i = 0; i < target.length; i++) {
    const value = source[i] ?? NaN;
    if (!Number.isFinite(value)) throw new ConsiliumError("vector.not-finite", { culprits: [extra.name] });
    const inside = Math.min(extra.most, Math.max(0, Math.round(value)));
    if (inside !== value) clipped++;
    target[i] = inside;
  }
  return clipped;
}

/** A little under the norm, for the product is rounded. */
function cutToNorm(update: Float32Array, clipL2Norm: number): Float32Array {
  const factor = (clipL2Norm * (1 - 1e-6)) / l2Norm(update);
  return factor < 1 ? update.map((value) => value * factor) : update;
}

/** Nobody outside knows the rounding's key; the noise of each block has one of its own. */
const noiseKey = (roundingKey: Uint8Array, offset: number): Uint8Array =>
  createHmac("sha256", roundingKey).update(`consilium/1 noise ${offset}`).digest();

/** @param stdDev in steps */
function addNoise(
  target: Int32Array | Int16Array,
  secure: SecureRandom,
  stdDev: number,
  { levels }: Pick<Scale, "levels">,
): void {
  for (let i = 0; i < target.length; i++) {
    const noisy = (target[i] ?? NaN) + secure.discreteNormal(stdDev);
    target[i] = Math.max(-levels, Math.min(levels, noisy));
  }
}

function assertFieldLength(name: string, expected: number, actual: number): void {
  if (actual === expected) return;
  throw new ConsiliumError("frame.wrong-length", {
    detail: `(${actual} elements instead of ${expected})`,
    culprits: [name],
  });
}
