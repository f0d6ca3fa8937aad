/** Operators that only move elements. */
import { intAttribute, intsAttribute } from "../ir.ts";
import { broadcast, generate, indexAt, positionOf, read, stridesOf, type NdArray } from "./array.ts";
import { only, operand, type Operator } from "./elementwise.ts";

const numbers = (inputs: readonly NdArray[], index: number): number[] => [...operand(inputs, index).data];

/** The result's element at an index comes from the first operand's element at another index. */
const move =
  (
    source: (
      index: readonly number[],
      inputs: readonly NdArray[],
      node: Parameters<Operator>[2],
    ) => readonly number[],
  ): Operator =>
  (inputs, outputs, node) => {
    const x = operand(inputs, 0);
    const output = only(outputs);
    const strides = stridesOf(x.shape);
    return [
      generate(output, (i) => read(x, positionOf(source(indexAt(i, output.shape), inputs, node), strides))),
    ];
  };

function slice(index: readonly number[], inputs: readonly NdArray[]): number[] {
  const { shape } = operand(inputs, 0);
  const starts = numbers(inputs, 1);
  const axes = inputs[3] === undefined ? starts.map((_, i) => i) : numbers(inputs, 3);
  const steps = inputs[4] === undefined ? starts.map(() => 1) : numbers(inputs, 4);
  return index.map((i, axis) => {
    const which = axes.indexOf(axis);
    if (which < 0) return i;
    const start = starts[which] ?? 0;
    return (start < 0 ? start + (shape[axis] ?? 0) : start) + i * (steps[which] ?? 1);
  });
}

const concat: Operator = (inputs, outputs, node) => {
  const output = only(outputs);
  const axis = intAttribute(node, "axis", 0);
  const ends: number[] = [];
  for (const part of inputs) ends.push((ends.at(-1) ?? 0) + (part.shape[axis] ?? 0));
  return [
    generate(output, (i) => {
      const index = indexAt(i, output.shape);
      const along = index[axis] ?? 0;
      const which = ends.findIndex((end) => along < end);
      index[axis] = along - (ends[which - 1] ?? 0);
      const part = operand(inputs, which);
      return read(part, positionOf(index, stridesOf(part.shape)));
    }),
  ];
};

const split: Operator = (inputs, outputs, node) => {
  const x = operand(inputs, 0);
  const axis = intAttribute(node, "axis", 0);
  const strides = stridesOf(x.shape);
  let start = 0;
  return outputs.map((output) => {
    const from = start;
    start += output.shape[axis] ?? 0;
    return generate(output, (i) => {
      const index = indexAt(i, output.shape);
      index[axis] = (index[axis] ?? 0) + from;
      return read(x, positionOf(index, strides));
    });
  });
};

const pad: Operator = (inputs, outputs) => {
  const x = operand(inputs, 0);
  const output = only(outputs);
  const before = numbers(inputs, 1).slice(0, x.shape.length);
  const fill = inputs[2] === undefined ? 0 : read(inputs[2], 0);
  const strides = stridesOf(x.shape);
  return [
    generate(output, (i) => {
      const index = indexAt(i, output.shape).map((at, axis) => at - (before[axis] ?? 0));
      const inside = index.every((at, axis) => at >= 0 && at < (x.shape[axis] ?? 0));
      return inside ? read(x, positionOf(index, strides)) : fill;
    }),
  ];
};

const gather: Operator = (inputs, outputs, node) => {
  const [x, indices] = [operand(inputs, 0), operand(inputs, 1)];
  const output = only(outputs);
  const axis = intAttribute(node, "axis", 0);
  const rank = indices.shape.length;
  const strides = [stridesOf(x.shape), stridesOf(indices.shape)] as const;
  return [
    generate(output, (i) => {
      const index = indexAt(i, output.shape);
      const picked = read(indices, positionOf(index.slice(axis, axis + rank), strides[1]));
      const wrapped = picked < 0 ? picked + (x.shape[axis] ?? 0) : picked;
      const source = [...index.slice(0, axis), wrapped, ...index.slice(axis + rank)];
      return read(x, positionOf(source, strides[0]));
    }),
  ];
};

const gatherNd: Operator = (inputs, outputs) => {
  const [x, indices] = [operand(inputs, 0), operand(inputs, 1)];
  const output = only(outputs);
  const depth = indices.shape.at(-1) ?? 0;
  const rank = indices.shape.length - 1;
  const strides = stridesOf(x.shape);
  const rows = stridesOf(indices.shape);
  return [
    generate(output, (i) => {
      const index = indexAt(i, output.shape);
      const row = positionOf(index.slice(0, rank), rows);
      const picked = Array.from({ length: depth }, (_, j) => read(indices, row + j));
      return read(x, positionOf([...picked, ...index.slice(rank)], strides));
    }),
  ];
};

export const moveOperators: Readonly<Record<string, Operator>> = {
  Reshape: (inputs, outputs) => [{ ...only(outputs), data: operand(inputs, 0).data }],
  Expand: (inputs, outputs) => [broadcast(operand(inputs, 0), only(outputs).shape)],
  Transpose: move((index, inputs, node) => {
    const permutation = intsAttribute(node, "perm") ?? index.map((_, i) => index.length - 1 - i);
    return operand(inputs, 0).shape.map((_, axis) => index[permutation.indexOf(axis)] ?? 0);
  }),
  Tile: move((index, inputs) => index.map((i, axis) => i % (operand(inputs, 0).shape[axis] ?? 1))),
  Slice: move(slice),
  Concat: concat,
  Split: split,
  Pad: pad,
  Gather: gather,
  GatherND: gatherNd,
};
