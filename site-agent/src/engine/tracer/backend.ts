/**
 * A TF.js backend that computes nothing. Its tensors are values of a graph; each kernel appends the ONNX nodes
 * that would compute it. TF.js' gradients, run on such tensors, write down the backward pass in the same way.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import * as tf from "@tensorflow/tfjs-core";
import { GraphBuilder, arrayOf, uniformValue } from "../graph/builder.ts";
import { sizeOf, type Value } from "../graph/ir.ts";
import { elementwiseKernels, tracedDtype } from "./elementwise.ts";
import { fusedKernels } from "./fused.ts";
import { indexingKernels } from "./indexing.ts";
import type { TracedKernel } from "./kernel.ts";
import { matMulKernels } from "./matmul.ts";
import { reductionKernels } from "./reductions.ts";
import { shapeKernels } from "./shapes.ts";

export const TRACER = "consilium-trace";

export const tracedKernels: readonly TracedKernel[] = [
  ...elementwiseKernels,
  ...reductionKernels,
  ...matMulKernels,
  ...shapeKernels,
  ...indexingKernels,
  ...fusedKernels,
];

export class TracingBackend extends tf.KernelBackend {
  readonly graph = new GraphBuilder();
  readonly #values = new WeakMap<object, Value>();

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

  override readSync(): tf.BackendValues {
    throw new ConsiliumError("engine.data-dependent");
  }

  override read(): Promise<tf.BackendValues> {
    return Promise.reject(new ConsiliumError("engine.data-dependent"));
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
  for (const kernel of tracedKernels) {
    tf.registerKernel({
      kernelName: kernel.name,
      backendName: TRACER,
      kernelFunc: ({ inputs, backend, attrs }) => {
        if (!(backend instanceof TracingBackend)) throw new TypeError("not the tracing backend");
        const values = Object.fromEntries(
          Object.entries(inputs)
            .filter(([, tensor]) => isTensorInfo(tensor))
            .map(([input, tensor]) => [input, backend.traced(tensor as tf.TensorInfo)]),
        );
        const result = kernel.trace(backend.graph, values, attrs ?? {});
        return isMany(result) ? result.map((value) => backend.handle(value)) : backend.handle(result);
      },
    });
  }
  const supported = new Set(tracedKernels.map(({ name }) => name));
  for (const name of kernelNames()) {
    if (supported.has(name)) continue;
    tf.registerKernel({
      kernelName: name,
      backendName: TRACER,
      kernelFunc: () => {
        throw new ConsiliumError("engine.unsupported-op", { detail: `(${name})`, culprits: [name] });
      },
    });
  }
}

const isMany = (result: Value | readonly Value[]): result is readonly Value[] => Array.isArray(result);

const isTensorInfo = (candidate: unknown): candidate is tf.TensorInfo =>
  typeof candidate === "object" && candidate !== null && "dataId" in candidate;

/** TF.js exports each kernel's name under that very name. */
function kernelNames(): string[] {
  return Object.entries(tf)
    .filter(([key, value]) => key === value)
    .map(([key]) => key);
}
