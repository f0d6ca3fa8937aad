/** Matrix products, fused ones, Einstein's sums. */
import * as tf from "../../tf.ts";
import { uniform } from "../compare.ts";
import { between, flat, randomShape, smooth, type ContractCase } from "./case.ts";

const einsum = (equation: string, ...shapes: readonly (readonly number[])[]): ContractCase =>
  smooth(
    `einsum ${equation}`,
    (random) => ({
      inputs: shapes.map((shape) => uniform(random, shape)),
      run: (...operands) => tf.einsum(equation, ...operands),
    }),
    1,
  );

const ACTIVATIONS = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu", "prelu"] as const;

export const productCases: readonly ContractCase[] = [
  smooth(
    "of any rank, either operand transposed",
    (random) => {
      const batch = randomShape(random, 0, 2);
      const [m, k, n] = [between(random, 1, 4), between(random, 1, 4), between(random, 1, 4)];
      const [transposeA, transposeB] = [random.below(2) === 0, random.below(2) === 0];
      const a = uniform(random, [...batch, ...(transposeA ? [k, m] : [m, k])]);
      const b = uniform(random, [...batch, ...(transposeB ? [n, k] : [k, n])]);
      return { inputs: [a, b], run: (x, y) => tf.matMul(x, y, transposeA, transposeB) };
    },
    10,
  ),
  smooth("batch axes broadcast, gradients summed over them", (random) => ({
    inputs: [uniform(random, [3, 2, 4]), uniform(random, [1, 4, 5])],
    run: (x, y) => tf.matMul(x, y),
  })),
  smooth("batch axes of different rank", (random) => ({
    inputs: [uniform(random, [2, 1, 2, 3]), uniform(random, [4, 3, 2])],
    run: (x, y) => tf.matMul(x, y),
    // TF.js' CPU backend takes the batch axes as one, and starts again where the shorter one ends.
    reference: (x, y) => tf.matMul(tf.tile(x, [1, 4, 1, 1]), tf.tile(tf.expandDims(y, 0), [2, 1, 1, 1])),
  })),
  smooth("vectors and outer products", (random) => ({
    inputs: [uniform(random, [4]), uniform(random, [4]), uniform(random, [3, 4])],
    run: (x, y, matrix) => [
      tf.dot(x, y),
      tf.dot(matrix, x),
      tf.outerProduct(x as tf.Tensor1D, y as tf.Tensor1D),
    ],
  })),
  flat("fused with a bias and an activation", (random) => ({
    inputs: [uniform(random, [3, 4]), uniform(random, [4, 5]), uniform(random, [5]), uniform(random, [5], 0.1, 0.4)], // prettier-ignore
    run: (a, b, bias, slopes) =>
      ACTIVATIONS.map((activation) =>
        tf.fused.matMul({
          ...{ a, b, bias, activation, leakyreluAlpha: 0.3 },
          ...(activation === "prelu" && { preluActivationWeights: slopes }),
        }),
      ),
  })),
  einsum("ij,jk->ik", [2, 3], [3, 4]),
  einsum("bhqd,bhkd->bhqk", [2, 2, 3, 2], [2, 2, 4, 2]),
  einsum("ijk->kj", [2, 3, 4]),
  einsum("i,j->ij", [3], [2]),
  einsum("ij,ij->", [2, 3], [2, 3]),
  smooth("einsum abc,cd->ad", (random) => ({
    inputs: [uniform(random, [2, 3, 2]), uniform(random, [2, 3])],
    run: (x, y) => tf.einsum("abc,cd->ad", x, y),
    // Here TF.js' CPU backend gives up: it does not bring the operands to one shape.
    reference: (x, y) => tf.matMul(tf.sum(x, 1), y),
  })),
];
