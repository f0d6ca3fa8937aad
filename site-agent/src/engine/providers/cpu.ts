/** ONNX Runtime on the CPU. */
import { ConsiliumError } from "@consilium/shared/errors";
import * as ort from "onnxruntime-node";
import type { Graph, NamedValue } from "../graph/ir.ts";
import { writeOnnx } from "../graph/onnx.ts";
import { HostWorkspace } from "./host-workspace.ts";
import type { CompiledGraph, NamedArrays, Provider, ProviderReport, TensorArray } from "./provider.ts";

/** ONNX Runtime's severities: warnings about fused or unplaced nodes mean nothing to the people here. */
const LOG_ERRORS_ONLY = 3;

export function cpuProvider(threads: number): Provider {
  const compile = async (graph: Graph): Promise<CompiledGraph> =>
    new CpuGraph(await createSession(writeOnnx(graph), threads), graph);
  return {
    name: "onnx/cpu",
    compile,
    openWorkspace: (resident) => new HostWorkspace(resident, compile),
  };
}

async function createSession(model: Uint8Array, threads: number): Promise<ort.InferenceSession> {
  ort.env.logLevel = "error";
  try {
    return await ort.InferenceSession.create(model, {
      executionProviders: ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      logSeverityLevel: LOG_ERRORS_ONLY,
      extra: {
        session: {
          // Denormals are a hundred times slower and mean nothing to a weight.
          set_denormal_as_zero: "1",
          // Several sites may share the machine; a spinning thread takes a core from the others.
          intra_op: { allow_spinning: "0" },
        },
      },
    });
  } catch (error) {
    throw new ConsiliumError("engine.compile-failed", { detail: `(${summary(error)})`, cause: error });
  }
}

class CpuGraph implements CompiledGraph {
  readonly #session: ort.InferenceSession;
  readonly #inputs: readonly NamedValue[];
  readonly #outputs: readonly NamedValue[];
  /** State arrays come back step after step; their tensors are made once. */
  readonly #tensors = new WeakMap<TensorArray, ort.Tensor>();

  constructor(session: ort.InferenceSession, graph: Graph) {
    this.#session = session;
    this.#inputs = graph.inputs;
    this.#outputs = graph.outputs;
  }

  async run(inputs: NamedArrays, outputs: NamedArrays): Promise<void> {
    const feeds = this.#wrap(this.#inputs, inputs);
    const fetches = this.#wrap(this.#outputs, outputs);
    try {
      await this.#session.run(feeds, fetches);
    } catch (error) {
      throw new ConsiliumError("engine.run-failed", { detail: `(${summary(error)})`, cause: error });
    }
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }

  #wrap(values: readonly NamedValue[], arrays: NamedArrays): Record<string, ort.Tensor> {
    const tensors: Record<string, ort.Tensor> = {};
    for (const { name, value } of values) {
      const array = arrays.get(name);
      if (array === undefined) {
        throw new ConsiliumError("engine.run-failed", { detail: `(${name} is missing)`, culprits: [name] });
      }
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

function toTensor(name: string, array: TensorArray, shape: readonly number[]): ort.Tensor {
  try {
    if (array instanceof Float32Array) return new ort.Tensor("float32", array, shape);
    if (array instanceof Int32Array) return new ort.Tensor("int32", array, shape);
    return new ort.Tensor("uint8", array, shape);
  } catch (error) {
    throw new ConsiliumError("engine.run-failed", {
      detail: `(${name} holds ${array.length} elements instead of [${shape.join(", ")}])`,
      culprits: [name],
      cause: error,
    });
  }
}

/** The first line of ONNX Runtime's message, without the source files that it names. */
function summary(error: unknown): string {
  const [line = ""] = (error instanceof Error ? error.message : "unknown").split("\n");
  return line.replaceAll(/\S*\/\S*/g, "").slice(0, 300);
}

/** For `consilium-site doctor`. */
export function describeProviders(): ProviderReport {
  const backends = ort.listSupportedBackends().map(({ name, bundled }) => ({ name, bundled }));
  return { runtime: ort.env.versions.node ?? "unknown", backends };
}
