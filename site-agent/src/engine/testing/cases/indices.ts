/** Gathering, scattering, one-hot vectors, and tensors from nothing. */
import * as tf from "../../tf.ts";
import { integers, uniform } from "../compare.ts";
import { flat, smooth, type ContractCase } from "./case.ts";

export const indexCases: readonly ContractCase[] = [
  smooth("gathers rows, columns, and within a batch", (random) => ({
    inputs: [uniform(random, [4, 5, 3]), integers(random, [4, 2], 0, 4)],
    run: (x, y) => {
      const indices = y as tf.Tensor2D;
      return [
        tf.gather(x, indices),
        tf.gather(x, indices, 1),
        tf.gather(x, indices, 1, 1),
        tf.gather(tf.reshape(x, [20, 3]), tf.reshape(indices, [8])),
        tf.gatherND(x, indices),
      ];
    },
  })),
  smooth("gathers along an axis behind the batch's", (random) => ({
    inputs: [uniform(random, [2, 3, 4, 2]), integers(random, [2, 5], 0, 4)],
    run: (x, indices) => tf.gather(x, indices, 2, 1),
  })),
  flat("one-hot vectors, 0 outside of the classes", (random) => ({
    inputs: [integers(random, [2, 3], -1, 5)],
    run: (indices) => [tf.oneHot(indices, 4), tf.oneHot(indices, 4, 0.9, 0.1, "float32")],
  })),
  smooth("scatters, adding where indices repeat", (random) => ({
    inputs: [integers(random, [5, 1], 0, 3), uniform(random, [5, 2])],
    run: (indices, updates) => tf.scatterND(indices, updates, [4, 2]),
  })),
  smooth("writes into a tensor", (random) => ({
    inputs: [uniform(random, [4, 3]), { shape: [2, 2], values: Int32Array.of(0, 1, 3, 2) }, uniform(random, [2])], // prettier-ignore
    run: (x, indices, updates) => tf.tensorScatterUpdate(x, indices, updates),
  })),
  smooth("fills a dense tensor from a sparse one", (random) => ({
    inputs: [{ shape: [2, 2], values: Int32Array.of(0, 1, 2, 0) }, uniform(random, [2]), uniform(random, [])], // prettier-ignore
    run: (indices, values, rest) => tf.sparseToDense(indices, values, [3, 2], rest as tf.Scalar),
  })),
  smooth("sums segments", (random) => ({
    inputs: [uniform(random, [6, 2]), integers(random, [6], -1, 4)],
    run: (x, segments) => tf.unsortedSegmentSum(x, segments as tf.Tensor1D, 4),
  })),
  smooth("diagonals", (random) => ({ inputs: [uniform(random, [2, 2])], run: (x) => tf.diag(x) })),
  flat("ranges and constants", (random) => ({
    inputs: [uniform(random, [5])],
    run: (x) => {
      const made = [tf.range(0, 5), tf.linspace(0, 1, 5), tf.fill([5], 3), tf.ones([5])];
      return [...made, tf.tensor1d([1, 2, 3, 4, 5])].map((constant) => tf.add(x, constant));
    },
  })),
];
