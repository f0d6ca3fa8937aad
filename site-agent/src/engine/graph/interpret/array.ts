/** Arrays of float64 with a shape, and the index arithmetic that the interpreter's operators share. */
import { sizeOf, type Dtype } from "../ir.ts";

export interface NdArray {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** Row-major; integers and bools too. */
  readonly data: Float64Array;
}

/** What an operator must produce. */
export interface ArraySpec {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** One element per index of `spec`, counted row-major. */
export function generate({ shape, dtype }: ArraySpec, element: (position: number) => number): NdArray {
  const data = new Float64Array(sizeOf(shape));
  for (let position = 0; position < data.length; position++) data[position] = element(position);
  return { shape, dtype, data };
}

export const read = (array: NdArray, position: number): number => array.data[position] ?? NaN;

/** Elements to skip for a step along each axis. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = (strides[axis + 1] ?? 1) * (shape[axis + 1] ?? 1);
  }
  return strides;
}

/** The index along each axis of the element at `position`. */
export function indexAt(position: number, shape: readonly number[]): number[] {
  const index = shape.map(() => 0);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = shape[axis] ?? 1;
    index[axis] = position % length;
    position = Math.floor(position / length);
  }
  return index;
}

export const positionOf = (index: readonly number[], strides: readonly number[]): number =>
  index.reduce((sum, i, axis) => sum + i * (strides[axis] ?? 0), 0);

/** Where in `from` the element at each position of `to` comes from, when `from` is broadcast to it. */
export function broadcastPositions(from: readonly number[], to: readonly number[]): Int32Array {
  const strides = stridesOf(from).map((stride, axis) => (from[axis] === 1 ? 0 : stride));
  const missing = to.length - from.length;
  const positions = new Int32Array(sizeOf(to));
  for (let position = 0; position < positions.length; position++) {
    positions[position] = positionOf(indexAt(position, to).slice(missing), strides);
  }
  return positions;
}

/** `array` with its elements repeated to fill `shape`. */
export function broadcast(array: NdArray, shape: readonly number[]): NdArray {
  const positions = broadcastPositions(array.shape, shape);
  return generate({ shape, dtype: array.dtype }, (position) => read(array, positions[position] ?? 0));
}
