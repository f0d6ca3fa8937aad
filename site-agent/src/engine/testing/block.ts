/** A small network with every operation of a vision transformer. */
import { Random } from "../../dataset/random.ts";
import { gelu, layerNorm, linear, selfAttention } from "../nn.ts";
import * as tf from "../tf.ts";
import { uniform, type Case } from "./compare.ts";

/** A pre-norm block: every operation of a vision transformer. */
function block(...tensors: tf.Tensor[]): tf.Tensor {
  const get = (index: number): tf.Tensor => {
    const tensor = tensors[index];
    if (tensor === undefined) throw new RangeError(`weight ${index} is missing`);
    return tensor;
  };
  const norm1 = layerNorm(get(0), get(1), get(2));
  const mixed = selfAttention(linear(norm1, get(3), get(4)), 2);
  const y = tf.add(get(0), linear(mixed, get(5), get(6)));
  const hidden = gelu(linear(layerNorm(y, get(7), get(8)), get(9), get(10)));
  return tf.add(y, linear(hidden, get(11), get(12)));
}

/** A block on random tokens with random weights. */
export function transformerBlock(seed: number): Case {
  const random = new Random(seed);
  const [batch, length, width] = [2, 3, 4];
  const shapes = [
    [batch, length, width],
    ...[[width], [width], [width, 3 * width], [3 * width], [width, width], [width]],
    ...[[width], [width], [width, 4 * width], [4 * width], [4 * width, width], [width]],
  ];
  return { inputs: shapes.map((shape) => uniform(random, shape, -1, 1)), run: block };
}
