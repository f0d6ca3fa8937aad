/** Matrix products. */
import * as tf from "@tensorflow/tfjs-core";
import type { GraphBuilder } from "../graph/builder.ts";
import { int, type Value } from "../graph/ir.ts";
import { broadcastShape } from "../graph/shapes.ts";
import { activate, type Activation } from "./emit.ts";
import { kernel, type FusedInputs, type Inputs, type TracedKernel } from "./kernel.ts";

interface FusedMatMulAttributes extends Activation {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/**
 * a [.., M, K] times b [.., K, N], either transposed in its last two axes, batch axes broadcast.
 * Rank 2 becomes Gemm, which takes transposed operands as they are; higher ranks FusedMatMul, which does too.
 */
export function matMul(
  graph: GraphBuilder,
  a: Value,
  b: Value,
  transposeA: boolean,
  transposeB: boolean,
  bias: Value | null = null,
): Value {
  const rows = a.shape.at(transposeA ? -1 : -2) ?? 1;
  const columns = b.shape.at(transposeB ? -2 : -1) ?? 1;
  const shape = [...broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2)), rows, columns];
  const output = { shape, dtype: "float32" } as const;
  const attributes = { transA: int(transposeA ? 1 : 0), transB: int(transposeB ? 1 : 0) };

  if (a.shape.length === 2 && b.shape.length === 2) {
    return graph.emit("Gemm", bias === null ? [a, b] : [a, b, bias], output, { attributes });
  }
  const product =
    transposeA || transposeB
      ? graph.emit("FusedMatMul", [a, b], output, { attributes, domain: "com.microsoft" })
      : graph.emit("MatMul", [a, b], output);
  return bias === null ? product : graph.emit("Add", [product, bias], output);
}

export const matMulKernels: readonly TracedKernel[] = [
  kernel(tf.BatchMatMul, (graph, { a, b }: Inputs<"a" | "b">, attributes: tf.BatchMatMulAttrs) =>
    matMul(
      graph,
      graph.cast(a, "float32"),
      graph.cast(b, "float32"),
      attributes.transposeA,
      attributes.transposeB,
    ),
  ),
  kernel(tf._FusedMatMul, (graph, inputs: FusedInputs<"a" | "b">, attributes: FusedMatMulAttributes) => {
    const { a, b, bias = null, preluActivationWeights = null } = inputs;
    const product = matMul(graph, a, b, attributes.transposeA, attributes.transposeB, bias);
    return activate(graph, product, attributes, preluActivationWeights);
  }),
];
