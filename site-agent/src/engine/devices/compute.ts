/** A first product on a provider: small, and wrong results count as failure. */
import { ConsiliumError } from "@consilium/shared/errors";
import { GraphBuilder } from "../graph/builder.ts";
import type { Dtype, Graph } from "../graph/ir.ts";
import type { Provider } from "../providers/provider.ts";

const SIZE = 16;

/** Numbers that both precisions hold, sums included. */
const element = (row: number, column: number): number => ((row + 3 * column) % 5) - 2;

/** @throws engine.compile-failed, engine.run-failed */
export async function multiply(
  provider: Provider,
  dtype: Extract<Dtype, "float32" | "float16">,
): Promise<void> {
  const compiled = await provider.compile(product(dtype));
  const matrix = Float32Array.from({ length: SIZE ** 2 }, (_, i) => element(Math.floor(i / SIZE), i % SIZE));
  const result = new Float32Array(SIZE ** 2);
  try {
    await compiled.run(new Map([["x", matrix]]), new Map([["y", result]]));
  } finally {
    await compiled.dispose();
  }
  for (const [i, value] of result.entries()) {
    if (value !== squared(Math.floor(i / SIZE), i % SIZE)) {
      throw new ConsiliumError("engine.run-failed", { detail: "(a matrix product came out wrong)" });
    }
  }
}

export async function multipliesHalf(provider: Provider): Promise<boolean> {
  try {
    await multiply(provider, "float16");
    return true;
  } catch {
    return false;
  }
}

/** x x */
function product(dtype: Dtype): Graph {
  const graph = new GraphBuilder();
  const shape = [SIZE, SIZE];
  const x = graph.cast(graph.input("x", { shape, dtype: "float32" }), dtype);
  const y = graph.cast(graph.emit("MatMul", [x, x], { shape, dtype }), "float32");
  return graph.build([{ name: "y", value: y }]);
}

function squared(row: number, column: number): number {
  let sum = 0;
  for (let k = 0; k < SIZE; k++) sum += element(row, k) * element(k, column);
  return sum;
}
