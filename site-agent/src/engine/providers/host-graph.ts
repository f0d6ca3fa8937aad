/** A compiled graph that reads and writes the process' own memory. */
import type * as ort from "onnxruntime-node";
import type { NamedArrays, TensorArray } from "../arrays.ts";
import type { Graph, NamedValue } from "../graph/ir.ts";
import { createSession, required, runSession, toTensor, type SessionOptions } from "./ort-session.ts";
import type { CompiledGraph } from "./provider.ts";

/**
 * @param withoutCopies see `END`; the device has to be the CPU
 * @throws engine.compile-failed
 */
export async function compileForHost(
  graph: Graph,
  options: SessionOptions,
  { withoutCopies = false } = {},
): Promise<CompiledGraph> {
  const format = withoutCopies ? { sequence: END } : {};
  return new HostGraph(await createSession(graph, options, format), graph, withoutCopies);
}

/**
 * After a run, ONNX Runtime's binding copies every output into an array of its own, even if it was given one to write
 * to: for a training step all weights and moments, each time. It starts with the first output, and of a sequence it
 * only knows to say that it cannot hand it out; by then all outputs lie where they belong.
 */
const END = "end";

function ignoreEnd(error: unknown): void {
  if (error instanceof Error && error.message.startsWith("Non tensor type")) return;
  throw error;
}

class HostGraph implements CompiledGraph {
  readonly #session: ort.InferenceSession;
  readonly #inputs: readonly NamedValue[];
  readonly #outputs: readonly NamedValue[];
  readonly #withoutCopies: boolean;
  /** State arrays come back step after step; their tensors are made once. */
  readonly #tensors = new WeakMap<TensorArray, ort.Tensor>();

  constructor(session: ort.InferenceSession, graph: Graph, withoutCopies: boolean) {
    this.#session = session;
    this.#withoutCopies = withoutCopies;
    this.#inputs = graph.inputs;
    this.#outputs = graph.outputs;
  }

  async run(inputs: NamedArrays, outputs: NamedArrays): Promise<void> {
    const feeds = this.#wrap(this.#inputs, inputs);
    const fetches = this.#wrap(this.#outputs, outputs);
    await runSession(() =>
      this.#withoutCopies
        ? this.#session.run(feeds, { [END]: null, ...fetches }).catch(ignoreEnd)
        : this.#session.run(feeds, fetches),
    );
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }

  #wrap(values: readonly NamedValue[], arrays: NamedArrays): Record<string, ort.Tensor> {
    const tensors: Record<string, ort.Tensor> = {};
    for (const { name, value } of values) {
      const array = required(arrays, name);
      let tensor = this.#tensors.get(array);
      if (tensor === undefined) {
        tensor = toTensor(name, array, value.shape);
        this.#tensors.set(array, tensor);
      }
      tensors[name] = tensor;
    }
    return tensors;
  }
}
