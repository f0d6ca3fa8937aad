/** What a traced kernel is: a TF.js operation's name and how it is written as ONNX nodes. */
import type { GraphBuilder } from "../graph/builder.ts";
import type { Value } from "../graph/ir.ts";

export type TracedResult = Value | readonly Value[];

/** A kernel's inputs by TF.js' names. */
export type Inputs<Name extends string> = Readonly<Record<Name, Value>>;

/** Those of a product that TF.js fused with what follows it. */
export type FusedInputs<Name extends string> = Inputs<Name> &
  Partial<Inputs<"bias" | "preluActivationWeights">>;

export interface TracedKernel {
  /** TF.js' kernel name. */
  readonly name: string;
  /**
   * A method on purpose: an implementation names the inputs and attributes that TF.js declares for its kernel,
   * which only a method's bivariant parameters let it do.
   */
  trace(graph: GraphBuilder, inputs: Inputs<string>, attributes: object): TracedResult;
}

export const kernel = (name: string, trace: TracedKernel["trace"]): TracedKernel => ({ name, trace });
