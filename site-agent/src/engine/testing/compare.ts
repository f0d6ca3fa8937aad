/** Runs the same TF.js function traced and on TF.js' plain CPU backend, forward and backward, and compares. */
import "@tensorflow/tfjs-backend-cpu";
import { expect } from "vitest";
import { Random } from "../../dataset/random.ts";
import type { TensorArray } from "../arrays.ts";
import { interpret } from "../graph/interpret/interpret.ts";
import { sizeOf, type Graph } from "../graph/ir.ts";
import { removeDeadNodes } from "../graph/passes/dead-nodes.ts";
import { optimize } from "../graph/passes/optimize.ts";
import { cpuProvider } from "../providers/cpu.ts";
import type { Provider } from "../providers/provider.ts";
import * as tf from "../tf.ts";
import { trace } from "../tracer/trace.ts";
import type { InputSpec } from "../types.ts";

export type TensorFunction = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

export interface Case {
  readonly inputs: readonly { readonly shape: readonly number[]; readonly values: TensorArray }[];
  readonly run: TensorFunction;
  /** What to run on TF.js' CPU backend instead, where that is known to be wrong. */
  readonly reference?: TensorFunction;
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

export async function runGraph(
  graph: Graph,
  arrays: readonly TensorArray[],
  provider: Provider = cpuProvider(1),
): Promise<Float32Array[]> {
  const compiled = await provider.compile(graph);
  const outputs = new Map(
    graph.outputs.map(({ name, value }) => [name, new Float32Array(sizeOf(value.shape))]),
  );
  await compiled.run(new Map(arrays.map((array, i) => [`x${i}`, array])), outputs);
  await compiled.dispose();
  return [...outputs.values()];
}

export const runOnCpu = (test: Case): Promise<Float32Array[]> => runOn("cpu", test);

/** @param backend of TF.js, whose package is imported */
export async function runOn(backend: string, { inputs, run }: Case): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const tensors = inputs.map(({ shape, values }) => {
    const dtype = values instanceof Int32Array ? "int32" : "float32";
    return tf.tensor(values instanceof Uint8Array ? Float32Array.from(values) : values, [...shape], dtype);
  });
  return list(floats(run)(...tensors)).map((tensor) => Float32Array.from(tensor.dataSync()));
}

/** A weighted sum of the results of `run`, its gradients with respect to every float32 input, and the results. */
export function withGradients({ inputs, run }: Case): Case {
  const isFloat = inputs.map(({ values }) => values instanceof Float32Array);
  const differentiated: TensorFunction = (...tensors) => {
    const sources = tensors.filter((_, i) => isFloat[i]);
    let results: tf.Tensor[] = [];
    const total = (): tf.Tensor => {
      results = list(run(...tensors)).map((result) => tf.keep(result));
      const sums = results.map((result, i) => tf.sum(tf.mul(tf.cast(result, "float32"), weights(result, i))));
      return tf.addN(sums);
    };
    const { value, grads } = tf.engine().gradients(total, sources);
    return [value, ...grads, ...results];
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

export function expectResults(
  actual: readonly Float32Array[],
  expected: readonly Float32Array[],
  tolerance: number,
): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((values, i) => {
    expectClose(actual[i] ?? [], values, tolerance);
  });
}

/** Traced as it is and optimised, both must give what TF.js' CPU backend gives. */
export async function expectSame(test: Case, tolerance = 1e-5): Promise<void> {
  const expected = await runOnCpu(test);
  const raw = traceCase(test);
  const arrays = test.inputs.map(({ values }) => values);
  for (const graph of [raw, optimize(raw)]) {
    expectResults(await runGraph(graph, arrays), expected, tolerance);
  }
}

/** The function and its gradients; these also against float64 finite differences of the traced function. */
export async function expectSameWithGradients(test: Case, tolerance = 1e-5): Promise<void> {
  const differentiated = withGradients(test);
  await expectSame(differentiated, tolerance);
  expectTrueGradients(optimize(traceCase(differentiated)), test.inputs, tolerance);
}

/** Step of the central difference: its error is of the order of STEP^2, float64 rounding of 1e-16 / STEP. */
const STEP = 1e-5;
/** Inputs of up to this many elements are moved element by element. */
const FEW_ELEMENTS = 12;
/** In larger ones some elements are moved alone, and all of them together in some random directions. */
const ELEMENTS = 6;
const DIRECTIONS = 3;

/**
 * @param graph outputs y0, a scalar, and y1, y2, .. its gradients with respect to the float32 inputs, in order
 * @throws AssertionError where a gradient differs from the central difference in float64
 */
export function expectTrueGradients(graph: Graph, inputs: Case["inputs"], tolerance: number): void {
  const arrays = Object.fromEntries(
    inputs.map(({ values }, i): [string, Float64Array] => [`x${i}`, Float64Array.from(values)]),
  );
  const claimed = interpret(graph, arrays);
  const forward = removeDeadNodes({ ...graph, outputs: graph.outputs.slice(0, 1) });
  const evaluate = (): number => interpret(forward, arrays).y0?.data[0] ?? NaN;
  const floats = inputs.flatMap(({ values }, i) => (values instanceof Float32Array ? [`x${i}`] : []));
  const random = new Random(1);
  floats.forEach((name, i) => {
    const array = arrays[name] ?? new Float64Array();
    const gradient = claimed[`y${i + 1}`]?.data ?? new Float64Array();
    expect(gradient.length).toBe(array.length);
    const directions = probes(random, array.length);
    const projected = directions.map((direction) => dot(direction, gradient));
    const differences = directions.map((direction) => {
      const start = Float64Array.from(array);
      const along = (step: number): number => {
        start.forEach((value, j) => (array[j] = value + step * (direction[j] ?? 0)));
        return evaluate();
      };
      const slope = (along(STEP) - along(-STEP)) / (2 * STEP);
      array.set(start);
      return slope;
    });
    expectClose(projected, differences, tolerance);
  });
}

const dot = (a: ArrayLike<number>, b: Float64Array): number =>
  b.reduce((sum, value, i) => sum + value * (a[i] ?? 0), 0);

/** Directions in which a vector is moved. */
function probes(random: Random, length: number): Float64Array[] {
  const unit = (at: number): Float64Array => new Float64Array(length).fill(1, at, at + 1);
  if (length <= FEW_ELEMENTS) return Array.from({ length }, (_, at) => unit(at));
  const elements = Array.from({ length: ELEMENTS }, () => unit(random.below(length)));
  const signs = (): Float64Array => new Float64Array(length).map(() => (random.below(2) === 0 ? 1 : -1));
  return [...elements, ...Array.from({ length: DIRECTIONS }, signs)];
}
