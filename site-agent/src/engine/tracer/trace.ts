/** Runs TF.js code once on symbolic tensors and returns what it would have computed as a graph. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Graph, NamedValue } from "../graph/ir.ts";
import type { InputSpec } from "../types.ts";
import * as tf from "../tf.ts";
import { TRACER, TracingBackend, registerTracedKernels } from "./backend.ts";

export type TracedInputs = Readonly<Record<string, InputSpec>>;

/**
 * What `body` draws from a random generator becomes a constant of the graph, the same in every run: randomness has
 * to come in through an input.
 * @param body gets one tensor per input, uint8 as float32; returns the graph's outputs by name
 * @throws engine.unsupported-op, engine.data-dependent, engine.dynamic-shape
 */
export function trace(
  inputs: TracedInputs,
  body: (tensors: ReadonlyMap<string, tf.Tensor>) => Readonly<Record<string, tf.Tensor>>,
): Graph {
  return withTracer((backend) => {
    const tensors = new Map<string, tf.Tensor>();
    for (const [name, spec] of Object.entries(inputs)) {
      assertStatic(name, spec.shape);
      const value = backend.graph.input(name, spec);
      const usable = spec.dtype === "uint8" ? backend.graph.cast(value, "float32") : value;
      tensors.set(name, tf.engine().makeTensorFromTensorInfo(backend.handle(usable)));
    }
    const outputs: NamedValue[] = Object.entries(body(tensors)).map(([name, tensor]) => ({
      name,
      value: backend.traced(tensor),
    }));
    return backend.graph.build(outputs);
  });
}

/** Makes a fresh tracer TF.js' active backend, and afterwards the one that was active before. */
function withTracer<Result>(work: (backend: TracingBackend) => Result): Result {
  registerTracedKernels();
  const previous = activeBackend();
  const backend = new TracingBackend();
  // Priority below 0: TF.js never picks the tracer by itself.
  tf.registerBackend(TRACER, () => backend, -1);
  activate(TRACER);
  const engine = tf.engine();
  engine.startScope("consilium-trace");
  try {
    return work(backend);
  } finally {
    engine.endScope();
    tf.removeBackend(TRACER);
    if (previous !== null && previous !== undefined) activate(previous);
  }
}

/** TF.js' declaration hides that there may be no backend yet. */
export const activeBackend: () => string | null | undefined = tf.getBackend;

/** For a backend that is ready `setBackend` does its work before it returns its promise. */
function activate(name: string): void {
  void tf.setBackend(name);
}

function assertStatic(name: string, shape: readonly number[]): void {
  if (shape.every((length) => Number.isSafeInteger(length) && length >= 0)) return;
  throw new ConsiliumError("engine.dynamic-shape", {
    detail: `(input ${name} [${shape.join(", ")}]: compile one step for each size, the batch's too)`,
    culprits: [name],
  });
}
