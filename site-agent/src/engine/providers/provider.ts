/** What runs a compiled graph. */
import type { NamedArrays } from "../arrays.ts";
import type { Graph } from "../graph/ir.ts";
import type { ResidentShapes, Workspace } from "../runtime.ts";

export interface CompiledGraph {
  /**
   * Reads `inputs` and writes into `outputs`, which must be complete and of the right lengths.
   * @throws engine.run-failed
   */
  run(inputs: NamedArrays, outputs: NamedArrays): Promise<void>;
  dispose(): Promise<void>;
}

export interface Provider {
  /** For example `onnx/cpu`. */
  readonly name: string;
  /**
   * The longest sum of products that float16 carries: it may be added up in float16, too. 0 where float16 is not
   * multiplied at all.
   */
  readonly longestHalfSum: number;
  /** @throws engine.compile-failed */
  compile(graph: Graph): Promise<CompiledGraph>;
  openWorkspace(resident: ResidentShapes): Workspace<Graph>;
}

export interface ProviderReport {
  /** ONNX Runtime's version. */
  readonly runtime: string;
  /** Backends in the installed package, `bundled` when they need nothing else. */
  readonly backends: readonly { readonly name: string; readonly bundled: boolean }[];
}
