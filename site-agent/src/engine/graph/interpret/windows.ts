/** Convolution and pooling in float64, in any number of dimensions. */
import { intAttribute, intsAttribute, type Node } from "../ir.ts";
import { generate, indexAt, positionOf, read, stridesOf } from "./array.ts";
import { only, operand, type Operator } from "./elementwise.ts";

interface Moves {
  readonly taps: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly before: readonly number[];
}

function movesOf(node: Node, taps: readonly number[]): Moves {
  const ones = taps.map(() => 1);
  return {
    taps,
    strides: intsAttribute(node, "strides") ?? ones,
    dilations: intsAttribute(node, "dilations") ?? ones,
    before: (intsAttribute(node, "pads") ?? taps.map(() => 0)).slice(0, taps.length),
  };
}

/** Where along each axis a tap of the window at `output` meets the input; null in the padding. */
function meets(
  output: readonly number[],
  tap: readonly number[],
  lengths: readonly number[],
  { strides, dilations, before }: Moves,
): number[] | null {
  const at = output.map(
    (o, axis) => o * (strides[axis] ?? 1) + (tap[axis] ?? 0) * (dilations[axis] ?? 1) - (before[axis] ?? 0),
  );
  return at.every((position, axis) => position >= 0 && position < (lengths[axis] ?? 0)) ? at : null;
}

const everyTap = (taps: readonly number[]): number[][] =>
  Array.from({ length: taps.reduce((count, size) => count * size, 1) }, (_, i) => indexAt(i, taps));

/** x [N, C, ..], filter [O, C / groups, ..], bias [O]. */
const conv: Operator = (inputs, outputs, node) => {
  const [x, filter, bias] = [operand(inputs, 0), operand(inputs, 1), inputs[2]];
  const output = only(outputs);
  const moves = movesOf(node, filter.shape.slice(2));
  const perGroup = (filter.shape[0] ?? 1) / intAttribute(node, "group", 1);
  const depth = filter.shape[1] ?? 1;
  const [stepsX, stepsFilter] = [stridesOf(x.shape), stridesOf(filter.shape)];
  const taps = everyTap(moves.taps);
  return [
    generate(output, (i) => {
      const [image = 0, channel = 0, ...at] = indexAt(i, output.shape);
      const first = Math.floor(channel / perGroup) * depth;
      let sum = bias === undefined ? 0 : read(bias, channel);
      for (const tap of taps) {
        const met = meets(at, tap, x.shape.slice(2), moves);
        if (met === null) continue;
        for (let c = 0; c < depth; c++) {
          const weight = read(filter, positionOf([channel, c, ...tap], stepsFilter));
          sum += weight * read(x, positionOf([image, first + c, ...met], stepsX));
        }
      }
      return sum;
    }),
  ];
};

/** x [N, C, ..], filter [C, O / groups, ..]: every element of x spreads over the window that would make it. */
const convTranspose: Operator = (inputs, outputs, node) => {
  const [x, filter] = [operand(inputs, 0), operand(inputs, 1)];
  const output = only(outputs);
  const moves = movesOf(node, filter.shape.slice(2));
  const perGroup = (x.shape[1] ?? 1) / intAttribute(node, "group", 1);
  const width = filter.shape[1] ?? 1;
  const [stepsFilter, steps] = [stridesOf(filter.shape), stridesOf(output.shape)];
  const taps = everyTap(moves.taps);
  const result = generate(output, () => 0);
  for (let i = 0; i < x.data.length; i++) {
    const [image = 0, channel = 0, ...at] = indexAt(i, x.shape);
    const first = Math.floor(channel / perGroup) * width;
    for (const tap of taps) {
      const met = meets(at, tap, output.shape.slice(2), moves);
      if (met === null) continue;
      for (let o = 0; o < width; o++) {
        const target = positionOf([image, first + o, ...met], steps);
        const weight = read(filter, positionOf([channel, o, ...tap], stepsFilter));
        result.data[target] = read(result, target) + weight * read(x, i);
      }
    }
  }
  return [result];
};

const pool =
  (combine: (values: readonly number[]) => number): Operator =>
  (inputs, outputs, node) => {
    const x = operand(inputs, 0);
    const output = only(outputs);
    const moves = movesOf(node, intsAttribute(node, "kernel_shape") ?? []);
    const taps = everyTap(moves.taps);
    const steps = stridesOf(x.shape);
    return [
      generate(output, (i) => {
        const [image = 0, channel = 0, ...at] = indexAt(i, output.shape);
        const values = taps.flatMap((tap) => {
          const met = meets(at, tap, x.shape.slice(2), moves);
          return met === null ? [] : [read(x, positionOf([image, channel, ...met], steps))];
        });
        return combine(values);
      }),
    ];
  };

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export const windowOperators: Readonly<Record<string, Operator>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  MaxPool: pool((values) => Math.max(...values)),
  AveragePool: pool(mean),
};
