/**
 * Initial weights as in facebookresearch/mae: Xavier uniform for matrices (the patch projection included), normal(0, .02)
 * for tokens, ones and zeros for norms and biases.
 *
 * All sites derive them from the plan and must get the same bits on every machine and Node version. So nothing here
 * may call Math.log, cos, sin or pow, whose last bit is the JavaScript engine's choice; +, -, *, / and sqrt are exact.
 */
import { elementCount } from "@consilium/shared/manifest";
import { Random } from "../dataset/random.ts";
import type { Parameter } from "../engine/types.ts";

const TOKEN_STD_DEV = 0.02;

/** @returns flat, in parameter order. Each tensor has its own stream, so adding one changes no other. */
export function initialWeights(parameters: readonly Parameter[], seed: number): Float32Array {
  const values = new Float32Array(parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0));
  let offset = 0;
  for (const [index, parameter] of parameters.entries()) {
    const length = elementCount(parameter.shape);
    fill(values.subarray(offset, offset + length), parameter, new Random(seed, index));
    offset += length;
  }
  return values;
}

function fill(values: Float32Array, { name, shape }: Parameter, random: Random): void {
  if (name.endsWith(".bias")) return;
  if (shape.length === 1) {
    values.fill(1);
  } else if (shape.length === 2) {
    const [fanIn = 0, fanOut = 0] = shape;
    const limit = Math.sqrt(6 / (fanIn + fanOut));
    for (let i = 0; i < values.length; i++) values[i] = (2 * random.uniform() - 1) * limit;
  } else {
    for (let i = 0; i < values.length; i++) values[i] = TOKEN_STD_DEV * approximatelyNormal(random);
  }
}

/** Irwin-Hall: twelve uniforms have a sum with variance 1; less its mean of 6. */
function approximatelyNormal(random: Random): number {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += random.uniform();
  return sum;
}
