/** Matrix products in float64. */
import { floatAttribute, intAttribute, sizeOf, type Node } from "../ir.ts";
import { broadcast, broadcastPositions, generate, read, type ArraySpec, type NdArray } from "./array.ts";
import { only, operand, type Operator } from "./elementwise.ts";

interface Transposes {
  readonly a: boolean;
  readonly b: boolean;
}

/** a [.., M, K] times b [.., K, N], batch axes broadcast. */
function product(a: NdArray, b: NdArray, output: ArraySpec, transposed: Transposes): NdArray {
  const [rows = 1, columns = 1] = output.shape.slice(-2);
  const depth = a.shape.at(transposed.a ? -2 : -1) ?? 1;
  const batch = output.shape.slice(0, -2);
  const matrixOfA = broadcastPositions(a.shape.slice(0, -2), batch);
  const matrixOfB = broadcastPositions(b.shape.slice(0, -2), batch);
  const matrices = sizeOf(batch);
  const data = new Float64Array(matrices * rows * columns);
  let position = 0;
  for (let matrix = 0; matrix < matrices; matrix++) {
    const startA = (matrixOfA[matrix] ?? 0) * rows * depth;
    const startB = (matrixOfB[matrix] ?? 0) * depth * columns;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < depth; k++) {
          const inA = transposed.a ? k * rows + row : row * depth + k;
          const inB = transposed.b ? column * depth + k : k * columns + column;
          sum += read(a, startA + inA) * read(b, startB + inB);
        }
        data[position++] = sum;
      }
    }
  }
  return { ...output, data };
}

const transposes = (node: Node): Transposes => ({
  a: intAttribute(node, "transA", 0) === 1,
  b: intAttribute(node, "transB", 0) === 1,
});

const matMul: Operator = (inputs, outputs, node) => {
  const output = only(outputs);
  const alpha = floatAttribute(node, "alpha", 1);
  const result = product(operand(inputs, 0), operand(inputs, 1), output, transposes(node));
  const bias = inputs[2] === undefined ? null : broadcast(inputs[2], output.shape);
  const beta = floatAttribute(node, "beta", 1);
  return [generate(output, (i) => alpha * read(result, i) + (bias === null ? 0 : beta * read(bias, i)))];
};

export const productOperators: Readonly<Record<string, Operator>> = {
  MatMul: matMul,
  Gemm: matMul,
  FusedMatMul: matMul,
};
