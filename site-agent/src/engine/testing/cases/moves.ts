/** Reshaping, cutting, joining, padding, mirroring. */
import type { Random } from "../../../dataset/random.ts";
import * as tf from "../../tf.ts";
import { uniform, type TensorFunction } from "../compare.ts";
import { between, randomShape, runKernel, smooth, type ContractCase } from "./case.ts";

/** On one tensor of a fixed shape. */
const move = (name: string, shape: readonly number[], run: TensorFunction): ContractCase =>
  smooth(name, (random) => ({ inputs: [uniform(random, shape)], run }), 1);

/** On a tensor of any shape and with options that depend on it. */
const moveAny = (
  name: string,
  minRank: number,
  plan: (random: Random, shape: readonly number[]) => TensorFunction,
): ContractCase =>
  smooth(name, (random) => {
    const shape = randomShape(random, minRank);
    return { inputs: [uniform(random, shape)], run: plan(random, shape) };
  });

function shuffled(random: Random, length: number): number[] {
  const order = Array.from({ length }, (_, i) => ({ i, key: random.uniform() }));
  return order.sort((a, b) => a.key - b.key).map(({ i }) => i);
}

const pads = (random: Random, shape: readonly number[]): [number, number][] =>
  shape.map(() => [random.below(3), random.below(3)]);

/** A stride of either sign and the bounds between which it moves. */
function stridedRange(random: Random, length: number): [begin: number, end: number, stride: number] {
  const stride = between(random, 1, 3);
  const [low, high] = [random.below(length), between(random, 1, length)];
  const [begin, end] = low < high ? [low, high] : [high - 1, low + 1];
  return random.below(2) === 0 || begin === 0 ? [begin, end, stride] : [end - 1, begin - 1, -stride];
}

export const moveCases: readonly ContractCase[] = [
  move("reshape", [2, 6], (x) => tf.reshape(x, [3, -1])),
  move("expand and squeeze", [2, 3], (x) => tf.squeeze(tf.expandDims(tf.expandDims(x, -1), 0), [0])),
  moveAny("transpose", 1, (random, shape) => {
    const permutation = shuffled(random, shape.length);
    return (x) => tf.transpose(x, permutation);
  }),
  moveAny("tile", 1, (random, shape) => {
    const reps = shape.map(() => between(random, 1, 3));
    return (x) => tf.tile(x, reps);
  }),
  move("tile to a higher rank", [3], (x) => tf.tile(tf.reshape(x, [1, 3]), [4, 1])),
  move("broadcast", [2, 1, 3], (x) => tf.broadcastTo(x, [2, 4, 3])),
  smooth("broadcast as a kernel, which TF.js composes", (random) => ({
    inputs: [uniform(random, [3, 1])],
    run: (x) => runKernel(tf.BroadcastTo, { x }, { shape: [2, 3, 4] }),
    reference: (x) => tf.broadcastTo(x, [2, 3, 4]),
  })),
  move("concat with itself", [2, 3], (x) => tf.concat([x, tf.square(x), x], 1)),
  move("split evenly", [2, 6], (x) => tf.split(x, 3, 1).map((part, i) => tf.mul(part, i + 1))),
  move("split unevenly", [2, 6], (x) => tf.split(x, [1, 3, 2], -1).map((part, i) => tf.mul(part, i + 1))),
  move("stack and unstack", [3, 4], (x) => tf.stack(tf.unstack(x, 1).toReversed(), 1)),
  moveAny("slice", 1, (random, shape) => {
    const begin = shape.map((length) => random.below(length));
    const size = shape.map((length, axis) => between(random, 1, length - (begin[axis] ?? 0)));
    return (x) => tf.slice(x, begin, size);
  }),
  moveAny("pad", 1, (random, shape) => {
    const paddings = pads(random, shape);
    return (x) => tf.pad(x, paddings, 0.5);
  }),
  smooth(
    "mirror pad",
    (random) => {
      const shape = [between(random, 3, 4), between(random, 1, 3), between(random, 3, 5)];
      const paddings = pads(random, shape).map((pair, axis) => (axis === 1 ? [0, 0] : pair));
      const mode = random.below(2) === 0 ? "reflect" : "symmetric";
      const run: TensorFunction = (x) => tf.mirrorPad(x, paddings as [number, number][], mode);
      return { inputs: [uniform(random, shape)], run };
    },
    4,
  ),
  moveAny("reverse", 1, (random, shape) => {
    const axes = shape.flatMap((_, axis) => (random.below(2) === 0 ? [axis] : []));
    return (x) => tf.reverse(x, axes);
  }),
  smooth(
    "strided slices, forwards and backwards",
    (random) => {
      const shape = [between(random, 2, 6), between(random, 2, 6), between(random, 1, 3)];
      const ranges = shape.map((length) => stridedRange(random, length));
      const [begin, end, strides] = [0, 1, 2].map((part) => ranges.map((range) => range[part] ?? 0));
      const run: TensorFunction = (x) => tf.stridedSlice(x, begin ?? [], end ?? [], strides ?? []);
      return { inputs: [uniform(random, shape)], run };
    },
    5,
  ),
  move("strided slices to the very ends, axes added and dropped", [5, 6, 4], (x) => [
    tf.stridedSlice(x, [4, 5, 3], [0, 0, 0], [-1, -2, -1], 0, 0b111),
    tf.stridedSlice(x, [1, 0, 0], [2, 3, 2], [1, 1, 1], 0, 0, 0, 0, 0b001),
    tf.stridedSlice(x, [0, 1, 0], [1, 5, 4], [1, 2, 1], 0, 0, 0, 0b001, 0),
  ]),
  move("space to batch and back", [2, 4, 6, 1], (x) => {
    const blocks = tf.spaceToBatchND(x, [2, 3], [[1, 1], [0, 3]]); // prettier-ignore
    return [blocks, tf.batchToSpaceND(tf.square(blocks), [2, 3], [[1, 1], [0, 3]])]; // prettier-ignore
  }),
  move("depth to space", [2, 2, 3, 8], (x) => tf.depthToSpace(x as tf.Tensor4D, 2)),
];
