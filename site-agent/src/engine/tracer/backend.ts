/**
 * A TF.js backend that computes nothing. Its tensors are values of a graph; each kernel appends the ONNX nodes
 * that would compute it. TF.js' gradients, run on such tensors, write down the backward pass in the same way.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import * as tf from "@tensorflow/tfjs-core";
import type { Composition } from "../compositions/composition.ts";
import { compositions } from "../compositions/list.ts";
import { GraphBuilder, arrayOf, uniformValue } from "../graph/builder.ts";
import { sizeOf, type Value } from "../graph/ir.ts";
import { convolutionKernels } from "./convolution.ts";
import { elementwiseKernels } from "./elementwise.ts";
import { tracedDtype } from "./emit.ts";
import { fusedKernels } from "./fused.ts";
import { indexingKernels } from "./indexing.ts";
import type { TracedKernel } from "./kernel.ts";
import { matMulKernels } from "./matmul.ts";
import { reductionKernels } from "./reductions.ts";
import { shapeKernels } from "./shapes.ts";
import { unsupported, withoutGradient } from "./unsupported.ts";

export const TRACER = "consilium-trace";

export const tracedKernels: readonly TracedKernel[] = [
  ...elementwiseKernels,
  ...reductionKernels,
  ...matMulKernels,
  ...convolutionKernels,
  ...shapeKernels,
  ...indexingKernels,
  ...fusedKernels,
];

/** Every kernel of TF.js, and the two of this project, that a step may hold. */
export const supportedKernels: ReadonlySet<string> = new Set(
  [...tracedKernels, ...compositions].map(({ name }) => name),
);

export class TracingBackend extends tf.KernelBackend {
  readonly graph = new GraphBuilder();
  readonly #values = new WeakMap<object, Value>();
  /** The TF.js kernel that made a value, for messages. */
  readonly #makers = new WeakMap<Value, string>();

  /** A handle on `value` for TF.js. Each handle is its own, so TF.js may dispose of one without the others. */
  handle(value: Value): tf.TensorInfo {
    const dataId = {};
    this.#values.set(dataId, value);
    return { dataId, shape: [...value.shape], dtype: tfDtype(value) };
  }

  /** What a tensor stands for. A tensor made on another backend becomes a constant; it stays where it is. */
  traced(tensor: tf.TensorInfo): Value {
    const known = this.#values.get(tensor.dataId);
    // A handle may have been given a new shape by TF.js without a kernel.
    if (known !== undefined) return this.graph.reshape(known, tensor.shape);
    const values = tf.engine().readSync(tensor.dataId);
    return this.#constant(values, tensor.shape, tensor.dtype);
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): tf.DataId {
    return this.handle(this.#constant(values, shape, dtype)).dataId;
  }

  override move(dataId: tf.DataId, values: tf.BackendValues, shape: number[], dtype: tf.DataType): void {
    this.#values.set(dataId, this.#constant(values, shape, dtype));
  }

  /** Remembers which kernel made the result; a copy is as good as the original. */
  made(result: Value, kernelName: string): tf.TensorInfo {
    if (kernelName !== tf.Identity) this.#makers.set(result, kernelName);
    return this.handle(result);
  }

  override readSync(dataId: object): tf.BackendValues {
    throw this.#readError(dataId);
  }

  override read(dataId: object): Promise<tf.BackendValues> {
    return Promise.reject(this.#readError(dataId));
  }

  #readError(dataId: object): ConsiliumError {
    const value = this.#values.get(dataId);
    const maker = value === undefined ? undefined : this.#makers.get(value);
    const what = maker === undefined ? "an input of the step" : `the result of ${maker}`;
    return new ConsiliumError("engine.data-dependent", {
      detail: `(${what} was read: choose with tf.where, or return it from the step and read it there)`,
      culprits: maker === undefined ? [] : [maker],
    });
  }

  override disposeData(): boolean {
    return true;
  }

  override refCount(): number {
    return 1;
  }

  override incRef(): void {
    // Values live as long as the graph.
  }

  override numDataIds(): number {
    return 0;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override floatPrecision(): 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override timerAvailable(): boolean {
    return false;
  }

  override dispose(): void {
    // Nothing is held outside of JavaScript.
  }

  #constant(values: tf.BackendValues, shape: readonly number[], dtype: tf.DataType): Value {
    const to = tracedDtype(dtype);
    const data = arrayOf(to, Array.isArray(values) ? values.map(Number) : values);
    const uniform = sizeOf(shape) > 1 ? uniformValue(data) : null;
    return uniform === null
      ? this.graph.constant(data, { shape, dtype: to })
      : this.graph.full(uniform, { shape, dtype: to });
  }
}

function tfDtype(value: Value): tf.DataType {
  switch (value.dtype) {
    case "float32":
    case "int32":
    case "bool":
      return value.dtype;
    default:
      throw new TypeError(`${value.dtype} has no place in TF.js`);
  }
}

let registered = false;

/** Tells TF.js of the kernels, once in a process. Every other kernel it knows refuses by name. */
export function registerTracedKernels(): void {
  if (registered) return;
  registered = true;
  for (const kernel of tracedKernels) register(kernel.name, traceWith(kernel));
  for (const composition of compositions) register(composition.name, composeWith(composition));
  for (const name of kernelNames()) {
    if (supportedKernels.has(name)) continue;
    register(name, () => {
      throw unsupported(name);
    });
  }
  for (const [name, reason] of withoutGradient) refuseGradient(name, reason);
}

const register = (kernelName: string, kernelFunc: tf.KernelFunc): void => {
  tf.registerKernel({ kernelName, backendName: TRACER, kernelFunc });
};

const traceWith =
  (kernel: TracedKernel): tf.KernelFunc =>
  ({ inputs, backend, attrs }) => {
    if (!(backend instanceof TracingBackend)) throw new TypeError("not the tracing backend");
    const values = Object.fromEntries(
      Object.entries(inputs)
        .filter(([, tensor]) => isTensorInfo(tensor))
        .map(([input, tensor]) => [input, backend.traced(tensor as tf.TensorInfo)]),
    );
    const result = kernel.trace(backend.graph, values, attrs ?? {});
    const handle = (value: Value): tf.TensorInfo => backend.made(value, kernel.name);
    return isMany(result) ? result.map(handle) : handle(result);
  };

const composeWith =
  (composition: Composition): tf.KernelFunc =>
  ({ inputs, backend, attrs }) => {
    if (!(backend instanceof TracingBackend)) throw new TypeError("not the tracing backend");
    // TF.js hands tensors to kernels, whatever its declaration says.
    const result = composition.compose(inputs as Record<string, tf.Tensor>, attrs ?? {});
    return backend.made(backend.traced(result), composition.name);
  };

/** TF.js itself would say that there is no gradient, but neither why nor what to do. */
function refuseGradient(kernelName: string, reason: string): void {
  tf.registerGradient({
    kernelName,
    gradFunc: () => {
      throw new ConsiliumError("engine.unsupported-op", {
        detail: `(the gradient of ${kernelName}: ${reason})`,
        culprits: [kernelName],
      });
    },
  });
}

const isMany = (result: Value | readonly Value[]): result is readonly Value[] => Array.isArray(result);

const isTensorInfo = (candidate: unknown): candidate is tf.TensorInfo =>
  typeof candidate === "object" && candidate !== null && "dataId" in candidate;

/** TF.js exports each kernel's name under that very name. */
export function kernelNames(): string[] {
  return Object.entries(tf)
    .filter(([key, value]) => key === value)
    .map(([key]) => key);
}
