/** Runs the same TF.js function traced and on TF.js' plain CPU backend, forward and backward, and compares. */
import "@tensorflow/tfjs-backend-cpu";
import { expect } from "vitest";
import { Random } from "../../dataset/random.ts";
import { interpret } from "../graph/interpret/interpret.ts";
import { sizeOf, type Graph } from "../graph/ir.ts";
import { optimize } from "../graph/passes/optimize.ts";
import { cpuProvider } from "../providers/cpu.ts";
import type { TensorArray } from "../providers/provider.ts";
import * as tf from "../tf.ts";
import { trace } from "../tracer/trace.ts";
import type { InputSpec } from "../types.ts";

export type TensorFunction = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

export interface Case {
  readonly inputs: readonly { readonly shape: readonly number[]; readonly values: TensorArray }[];
  readonly run: TensorFunction;
}

/** Uniform in low .. high, away from the borders of floor, round and sign. */
export function uniform(
  random: Random,
  shape: readonly number[],
  low = -2,
  high = 2,
): Case["inputs"][number] {
  const values = Float32Array.from({ length: sizeOf(shape) }, () => low + (high - low) * random.uniform());
  return { shape, values: values.map((value) => (Math.abs(value % 0.5) < 0.02 ? value + 0.05 : value)) };
}

export function integers(
  random: Random,
  shape: readonly number[],
  low: number,
  high: number,
): Case["inputs"][number] {
  return { shape, values: Int32Array.from({ length: sizeOf(shape) }, () => low + random.below(high - low)) };
}

const dtypeOf = (values: TensorArray): InputSpec["dtype"] =>
  values instanceof Float32Array ? "float32" : values instanceof Int32Array ? "int32" : "uint8";

const list = (result: tf.Tensor | tf.Tensor[]): tf.Tensor[] => (Array.isArray(result) ? result : [result]);

/** `body` with every result as float32, for comparison. */
const floats =
  (body: TensorFunction): TensorFunction =>
  (...inputs) =>
    list(body(...inputs)).map((tensor) => tf.cast(tensor, "float32"));

export function traceCase({ inputs, run }: Case): Graph {
  const specs = Object.fromEntries(
    inputs.map(({ shape, values }, i): [string, InputSpec] => [`x${i}`, { shape, dtype: dtypeOf(values) }]),
  );
  return trace(specs, (tensors) =>
    Object.fromEntries(list(floats(run)(...tensors.values())).map((tensor, i) => [`y${i}`, tensor])),
  );
}

export async function runGraph(graph: Graph, arrays: readonly TensorArray[]): Promise<Float32Array[]> {
  const compiled = await cpuProvider(1).compile(graph);
  const outputs = new Map(
    graph.outputs.map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
  );
  await compiled.run(new Map(arrays.map((array, i) => [`x${i}`, array])), outputs);
  await compiled.dispose();
  return [...outputs.values()];
}

export async function runOnCpu({ inputs, run }: Case): Promise<Float32Array[]> {
  await tf.setBackend("cpu");
  const tensors = inputs.map(({ shape, values }) => {
    const dtype = values instanceof Int32Array ? "int32" : "float32";
    return tf.tensor(values instanceof Uint8Array ? Float32Array.from(values) : values, [...shape], dtype);
  });
  return list(floats(run)(...tensors)).map((tensor) => Float32Array.from(tensor.dataSync()));
}

/** `run` and the gradient of a weighted sum of its results with respect to every float32 input. */
export function withGradients({ inputs, run }: Case): Case {
  const isFloat = inputs.map(({ values }) => values instanceof Float32Array);
  const differentiated: TensorFunction = (...tensors) => {
    const sources = tensors.filter((_, i) => isFloat[i]);
    const total = (): tf.Tensor => {
      const results = list(run(...tensors));
      const sums = results.map((result, i) => tf.sum(tf.mul(tf.cast(result, "float32"), weights(result, i))));
      return tf.addN(sums);
    };
    const { value, grads } = tf.engine().gradients(total, sources);
    return [value, ...grads];
  };
  return { inputs, run: differentiated };
}

/** Different for every element, so that a gradient put in the wrong place shows. */
function weights({ shape }: tf.Tensor, offset: number): tf.Tensor {
  const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i + 1 + offset));
  return tf.tensor(values, shape);
}

/** Largest difference, relative to the largest element: both runs round in float32. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  let largest = 1e-3;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const [a = NaN, b = NaN] = [actual[i], expected[i]];
    if (Object.is(a, b) || (Number.isNaN(a) && Number.isNaN(b))) continue;
    largest = Math.max(largest, Math.abs(b));
    worst = Math.max(worst, Number.isNaN(a - b) ? Infinity : Math.abs(a - b));
  }
  expect(worst / largest).toBeLessThan(tolerance);
}

/** Traced as it is and optimised, both must give what TF.js' CPU backend gives. */
export async function expectSame(test: Case, tolerance = 1e-5): Promise<void> {
  const expected = await runOnCpu(test);
  const raw = traceCase(test);
  for (const graph of [raw, optimize(raw)]) {
    const actual = await runGraph(
      graph,
      test.inputs.map(({ values }) => values),
    );
    expect(actual.length).toBe(expected.length);
    expected.forEach((values, i) => {
      expectClose(actual[i] ?? [], values, tolerance);
    });
  }
}

/** The function, then its gradients; these also against float64 finite differences of the traced function. */
export async function expectSameWithGradients(test: Case, tolerance = 1e-5): Promise<void> {
  await expectSame(test, tolerance);
  const differentiated = withGradients(test);
  await expectSame(differentiated, tolerance);
  expectTrueGradients(optimize(traceCase(differentiated)), test.inputs, tolerance);
}

/** Step of the central difference: its error is of the order of STEP^2, float64 rounding of 1e-16 / STEP. */
const STEP = 1e-5;

/**
 * @param graph outputs y0, a scalar, and y1, y2, .. its gradients with respect to the float32 inputs, in order
 * @throws AssertionError where a gradient differs from the central difference in float64
 */
export function expectTrueGradients(graph: Graph, inputs: Case["inputs"], tolerance: number): void {
  const arrays = Object.fromEntries(
    inputs.map(({ values }, i): [string, Float64Array] => [`x${i}`, Float64Array.from(values)]),
  );
  const evaluate = (): Record<string, ArrayLike<number>> =>
    Object.fromEntries(Object.entries(interpret(graph, arrays)).map(([name, { data }]) => [name, data]));
  const claimed = evaluate();
  const floats = inputs.flatMap(({ values }, i) => (values instanceof Float32Array ? [`x${i}`] : []));
  floats.forEach((name, i) => {
    const array = arrays[name] ?? new Float64Array();
    const differences = Float64Array.from(array, (value, j) => {
      array[j] = value + STEP;
      const above = evaluate().y0?.[0] ?? NaN;
      array[j] = value - STEP;
      const below = evaluate().y0?.[0] ?? NaN;
      array[j] = value;
      return (above - below) / (2 * STEP);
    });
    expectClose(claimed[`y${i + 1}`] ?? [], differences, tolerance);
  });
}
