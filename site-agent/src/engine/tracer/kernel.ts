/** What a traced kernel is: a TF.js operation's name and how it is written as ONNX nodes. */
import type { GraphBuilder } from "../graph/builder.ts";
import type { Value } from "../graph/ir.ts";

export type TracedResult = Value | readonly Value[];

export interface TracedKernel {
  /** TF.js' kernel name. */
  readonly name: string;
  readonly trace: (
    graph: GraphBuilder,
    inputs: Readonly<Record<string, Value>>,
    attributes: object,
  ) => TracedResult;
}

/**
 * @param name TF.js' kernel name
 * @param trace gets the kernel's inputs by TF.js' names and its attributes as TF.js declares them
 */
export function kernel<InputName extends string, KernelAttributes extends object = object>(
  name: string,
  trace: (
    graph: GraphBuilder,
    inputs: Readonly<Record<InputName, Value>>,
    attributes: KernelAttributes,
  ) => TracedResult,
): TracedKernel {
  return {
    name,
    trace: (graph, inputs, attributes) =>
      trace(graph, inputs as Readonly<Record<InputName, Value>>, attributes as KernelAttributes),
  };
}

/** Numpy's broadcasting of two shapes. TF.js has already refused shapes that do not fit. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const fromA = a[axis - rank + a.length] ?? 1;
    const fromB = b[axis - rank + b.length] ?? 1;
    return fromA === 1 ? fromB : fromA;
  });
}

/** Axis counted from the front. */
export const positiveAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export function withLength(shape: readonly number[], axis: number, length: number): number[] {
  return shape.map((old, i) => (i === axis ? length : old));
}
