/** Pooling and resizing. */
import type { Random } from "../../../dataset/random.ts";
import * as tf from "../../tf.ts";
import { integers, uniform, type Case, type TensorFunction } from "../compare.ts";
import { between, flat, pick, runKernel, smooth, type ContractCase } from "./case.ts";

type Pool = (x: tf.Tensor4D, size: [number, number], strides: [number, number], pad: "valid" | "same") => tf.Tensor; // prettier-ignore

const planar =
  (pool: Pool): ContractCase["build"] =>
  (random) => {
    const size: [number, number] = [between(random, 1, 3), between(random, 1, 3)];
    const strides: [number, number] = [between(random, 1, 3), between(random, 1, 3)];
    const pad = pick(random, ["valid", "same"] as const);
    const shape = [
      between(random, 1, 2),
      between(random, 3, 6),
      between(random, 3, 6),
      between(random, 1, 2),
    ];
    return { inputs: [uniform(random, shape)], run: (x) => pool(x as tf.Tensor4D, size, strides, pad) };
  };

/** TF.js' gradient of a volume's maximum is right only where rows and columns have the same number of taps. */
function voluminous(random: Random): {
  inputs: Case["inputs"];
  options: Record<"filterSize" | "strides", [number, number, number]> & { pad: "valid" | "same" };
} {
  const side = between(random, 1, 2);
  return {
    inputs: [uniform(random, [1, between(random, 2, 3), 4, 3, 1])],
    options: {
      filterSize: [between(random, 1, 2), side, side],
      strides: [1, between(random, 1, 2), 2],
      pad: pick(random, ["valid", "same"] as const),
    },
  };
}

/** Small whole numbers, so that windows have several maxima. */
const tied = (random: Random, shape: readonly number[]): Case["inputs"][number] => ({
  shape,
  values: Float32Array.from(integers(random, shape, 0, 3).values),
});

const planeAttributes = { filterSize: [3, 2], strides: [2, 1], pad: "same" } as const;
const volumeAttributes = { filterSize: [2, 2, 2], strides: [1, 2, 1], pad: "same" } as const;

/** The gradient kernel that TF.js' own rule would call. */
const poolGradient =
  (kernel: string, pool: string, attributes: object): TensorFunction =>
  (input) => {
    const output = runKernel(pool, { x: input }, attributes);
    const dy = tf.reshape(tf.range(1, output.size + 1), output.shape);
    return runKernel(kernel, { dy, input, output }, attributes);
  };

const gradientKernel = (
  name: string,
  kernel: string,
  pool: string,
  shape: readonly number[],
  attributes: object,
): ContractCase =>
  flat(name, (random) => ({
    inputs: [tied(random, shape)],
    run: poolGradient(kernel, pool, attributes),
  }));

const pooling: readonly ContractCase[] = [
  smooth("max pool", planar(tf.maxPool), 4),
  smooth("average pool", planar(tf.avgPool), 4),
  smooth("pools padded by a number", (random) => ({
    inputs: [uniform(random, [1, 5, 6, 2])],
    run: (x) => [tf.maxPool(x as tf.Tensor4D, 3, 2, 1, "floor"), tf.avgPool(x as tf.Tensor4D, 3, 2, 1, "ceil")], // prettier-ignore
  })),
  smooth("dilated pool", (random) => ({
    inputs: [uniform(random, [1, 6, 5, 2])],
    run: (x) =>
      (["avg", "max"] as const).map((kind) =>
        tf.pool(x as tf.Tensor4D, [2, 2], kind, "same", [2, 2], [1, 1]),
      ),
  })),
  smooth("max pool of volumes", (random) => {
    const { inputs, options } = voluminous(random);
    return { inputs, run: (x) => tf.maxPool3d(x as tf.Tensor5D, options.filterSize, options.strides, options.pad) }; // prettier-ignore
  }),
  smooth(
    "max pool of volumes, rows and columns unequal",
    (random) => ({
      inputs: [uniform(random, [1, 2, 3, 4, 1])],
      run: (x) => tf.maxPool3d(x as tf.Tensor5D, [1, 2, 3], 1, "valid"),
      // There TF.js loses gradients, so one axis at a time, as columns.
      reference: (x) => {
        const wide = tf.maxPool3d(x as tf.Tensor5D, [1, 1, 3], 1, "valid");
        const turned = tf.maxPool3d(tf.transpose(wide, [0, 1, 3, 2, 4]), [1, 1, 2], 1, "valid");
        return tf.transpose(turned, [0, 1, 3, 2, 4]);
      },
    }),
    1,
  ),
  smooth("average pool of volumes", (random) => {
    const { inputs, options } = voluminous(random);
    return { inputs, run: (x) => tf.avgPool3d(x as tf.Tensor5D, options.filterSize, options.strides, options.pad) }; // prettier-ignore
  }),
  gradientKernel("of equal maxima the first", tf.MaxPoolGrad, tf.MaxPool, [1, 5, 4, 2], planeAttributes),
  gradientKernel("of equal maxima in a volume the last", tf.MaxPool3DGrad, tf.MaxPool3D, [1, 3, 4, 4, 1], volumeAttributes), // prettier-ignore
  gradientKernel("TF.js' gradient of average pools", tf.AvgPoolGrad, tf.AvgPool, [1, 5, 4, 2], planeAttributes), // prettier-ignore
  gradientKernel("and of volumes", tf.AvgPool3DGrad, tf.AvgPool3D, [1, 3, 4, 4, 1], volumeAttributes),
];

type Resize = typeof tf.image.resizeBilinear;

const resize = (name: string, run: Resize): ContractCase =>
  smooth(
    name,
    (random) => {
      const shape = [
        between(random, 1, 2),
        between(random, 1, 4),
        between(random, 1, 4),
        between(random, 1, 2),
      ];
      const size: [number, number] = [between(random, 1, 7), between(random, 1, 7)];
      const [alignCorners, halfPixelCenters] = pick(random, [[false, false], [true, false], [false, true]] as const); // prettier-ignore
      return {
        inputs: [uniform(random, shape)],
        run: (x) => run(x as tf.Tensor4D, size, alignCorners, halfPixelCenters),
      };
    },
    6,
  );

/** Square pictures: TF.js' kernels for this exchange rows and columns. */
const resizeGradient = (name: string, kernel: string): ContractCase =>
  flat(name, (random) => ({
    inputs: [uniform(random, [1, 5, 5, 2]), uniform(random, [1, 3, 3, 2])],
    run: (dy, images) =>
      [true, false].map((alignCorners) =>
        runKernel(kernel, { dy, images }, { alignCorners, halfPixelCenters: false }),
      ),
  }));

const resizing: readonly ContractCase[] = [
  resize("resize, bilinear", tf.image.resizeBilinear),
  resize("resize, nearest neighbour", tf.image.resizeNearestNeighbor),
  resizeGradient("the gradient of resizing as a kernel, bilinear", tf.ResizeBilinearGrad),
  resizeGradient("the gradient of resizing as a kernel, nearest neighbour", tf.ResizeNearestNeighborGrad),
  smooth(
    "mirrored left to right",
    (random) => ({
      inputs: [uniform(random, [2, 3, 4, 2])],
      run: (x) => tf.image.flipLeftRight(x as tf.Tensor4D),
    }),
    1,
  ),
];

export const imageCases: readonly ContractCase[] = [...pooling, ...resizing];
