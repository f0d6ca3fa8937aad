/** Reductions, softmax, normalisation and sorting in float64. */
import { floatAttribute, intAttribute, sizeOf, type Node } from "../ir.ts";
import { generate, indexAt, positionOf, read, stridesOf, type ArraySpec, type NdArray } from "./array.ts";
import { only, operand, type Operator } from "./elementwise.ts";

/** For each element of the result (reduced axes gone or 1), the elements of x that go into it. */
function groups(x: NdArray, axes: readonly number[]): number[][] {
  const kept = x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
  const strides = stridesOf(kept).map((stride, axis) => (kept[axis] === 1 ? 0 : stride));
  const members: number[][] = Array.from({ length: sizeOf(kept) }, () => []);
  for (let position = 0; position < x.data.length; position++) {
    members[positionOf(indexAt(position, x.shape), strides)]?.push(position);
  }
  return members;
}

const reduce =
  (combine: (values: readonly number[]) => number): Operator =>
  (inputs, outputs) => {
    const x = operand(inputs, 0);
    const axes = inputs[1] === undefined ? x.shape.map((_, axis) => axis) : [...inputs[1].data];
    const members = groups(x, axes);
    return [generate(only(outputs), (i) => combine((members[i] ?? []).map((position) => read(x, position))))];
  };

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const argument =
  (better: (a: number, b: number) => boolean): Operator =>
  (inputs, outputs, node) => {
    const x = operand(inputs, 0);
    const members = groups(x, [intAttribute(node, "axis", 0)]);
    const best = (positions: readonly number[]): number =>
      positions.reduce(
        (leader, position, i) => (better(read(x, position), read(x, positions[leader] ?? 0)) ? i : leader),
        0,
      );
    return [generate(only(outputs), (i) => best(members[i] ?? []))];
  };

/** Replaces each line along an axis by a function of the line. */
function alongAxis(
  x: NdArray,
  axis: number,
  line: (values: readonly number[]) => readonly number[],
): NdArray {
  const data = new Float64Array(x.data.length);
  for (const positions of groups(x, [axis])) {
    const values = line(positions.map((position) => read(x, position)));
    positions.forEach((position, i) => (data[position] = values[i] ?? NaN));
  }
  return { ...x, data };
}

function softmax(values: readonly number[]): number[] {
  const max = Math.max(...values);
  const exps = values.map((value) => Math.exp(value - max));
  const total = sum(exps);
  return exps.map((value) => value / total);
}

function logSoftmax(values: readonly number[]): number[] {
  const max = Math.max(...values);
  const log = Math.log(sum(values.map((value) => Math.exp(value - max))));
  return values.map((value) => value - max - log);
}

function cumulative(values: readonly number[], exclusive: boolean): number[] {
  let total = 0;
  return values.map((value) => {
    const before = total;
    total += value;
    return exclusive ? before : total;
  });
}

/** y, mean and 1 / standard deviation of each line along the last axis. */
function layerNormalization(
  inputs: readonly NdArray[],
  outputs: readonly ArraySpec[],
  node: Node,
): NdArray[] {
  const [x, gain, bias] = [operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)];
  const width = x.shape.at(-1) ?? 1;
  const epsilon = floatAttribute(node, "epsilon", 1e-5);
  const rows = x.data.length / width;
  const mean = new Float64Array(rows);
  const scale = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const line = [...x.data.subarray(row * width, (row + 1) * width)];
    const centre = sum(line) / width;
    mean[row] = centre;
    scale[row] = 1 / Math.sqrt(sum(line.map((value) => (value - centre) ** 2)) / width + epsilon);
  }
  const y = (i: number): number => {
    const row = Math.floor(i / width);
    const unit = (read(x, i) - (mean[row] ?? 0)) * (scale[row] ?? 1);
    return unit * read(gain, i % width) + read(bias, i % width);
  };
  const results = [y, (row: number) => mean[row] ?? NaN, (row: number) => scale[row] ?? NaN];
  return outputs.map((output, i) => generate(output, results[i] ?? (() => NaN)));
}

function topK(inputs: readonly NdArray[], outputs: readonly ArraySpec[]): NdArray[] {
  const x = operand(inputs, 0);
  const k = read(operand(inputs, 1), 0);
  const lines = groups(x, [x.shape.length - 1]).map((positions) =>
    positions
      .map((position, i) => ({ value: read(x, position), i }))
      .sort((a, b) => b.value - a.value || a.i - b.i),
  );
  const at = (i: number): { value: number; i: number } =>
    lines[Math.floor(i / k)]?.[i % k] ?? { value: NaN, i: NaN };
  return outputs.map((output, which) => generate(output, (i) => (which === 0 ? at(i).value : at(i).i)));
}

const positive = (axis: number, { shape }: NdArray): number => (axis < 0 ? axis + shape.length : axis);

export const reductionOperators: Readonly<Record<string, Operator>> = {
  ReduceSum: reduce(sum),
  ReduceSumSquare: reduce((values) => sum(values.map((value) => value * value))),
  ReduceMean: reduce((values) => sum(values) / values.length),
  ReduceMax: reduce((values) => Math.max(...values)),
  ReduceMin: reduce((values) => Math.min(...values)),
  ReduceProd: reduce((values) => values.reduce((product, value) => product * value, 1)),
  ArgMax: argument((a, b) => a > b),
  ArgMin: argument((a, b) => a < b),
  Softmax: (inputs, _, node) => {
    const x = operand(inputs, 0);
    return [alongAxis(x, positive(intAttribute(node, "axis", -1), x), softmax)];
  },
  LogSoftmax: (inputs, _, node) => {
    const x = operand(inputs, 0);
    return [alongAxis(x, positive(intAttribute(node, "axis", -1), x), logSoftmax)];
  },
  CumSum: (inputs, _, node) => {
    const x = operand(inputs, 0);
    const exclusive = intAttribute(node, "exclusive", 0) === 1;
    const reverse = intAttribute(node, "reverse", 0) === 1;
    const line = (values: readonly number[]): number[] =>
      reverse ? cumulative(values.toReversed(), exclusive).reverse() : cumulative(values, exclusive);
    return [alongAxis(x, read(operand(inputs, 1), 0), line)];
  },
  LayerNormalization: layerNormalization,
  TopK: topK,
};
