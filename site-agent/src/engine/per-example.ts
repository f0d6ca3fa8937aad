/**
 * Norms and clipped sums of the gradients of single examples, from one backward pass of the whole batch (Goodfellow
 * 2015, "Efficient Per-Example Gradient Computations"; Li et al. 2022, ghost clipping; Bu et al. 2023, book-keeping).
 *
 * While a recorder is at work, the layers of `nn.ts` do not hand a parameter's gradient to TF.js, where it would be summed
 * over the batch. They hand over each example's squared norm, as the "gradient" of a common input of length N, the tap,
 * on which their value does not depend: TF.js adds up what all layers say. What a layer needs to work out the gradient
 * with weights for the examples is kept until the weights follow from the norms.
 *
 * Letters in shapes: N examples, T tokens of each.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import * as tf from "./tf.ts";

/** What one layer knows of one parameter once the gradient of its output has come. */
export interface ExampleGradients {
  readonly parameter: tf.Tensor;
  /** Squared L2 norm of each example's gradient, [N]. */
  readonly squares: tf.Tensor;
  /** Read by `weighted`. */
  readonly kept: readonly tf.Tensor[];
  /** The gradients of all examples times `weights`, [N], added up, in the parameter's shape. */
  readonly weighted: (kept: readonly tf.Tensor[], weights: tf.Tensor) => tf.Tensor;
}

/** A layer as the recorder runs it; parameters are no inputs, so that TF.js does not look for their gradients. */
export interface RecordedLayer {
  /** @returns the value first, then what `backward` wants to see again */
  readonly forward: (x: tf.Tensor) => readonly [tf.Tensor, ...tf.Tensor[]];
  /** @param saved x, then what `forward` returned beyond its value */
  readonly backward: (
    dy: tf.Tensor,
    saved: readonly tf.Tensor[],
  ) => { readonly dx: tf.Tensor; readonly parameters: readonly ExampleGradients[] };
}

let current: Recorder | null = null;

/** The recorder at work, or null. */
export const currentRecorder = (): Recorder | null => current;

/** Runs `work`, in which layers tell `recorder` of their gradients. */
export function recording<Result>(recorder: Recorder, work: () => Result): Result {
  const before = current;
  current = recorder;
  try {
    return work();
  } finally {
    current = before;
  }
}

export class Recorder {
  /** [N] zeros, whose gradient is the squared norm of each example's gradient over all recorded parameters. */
  readonly tap: tf.Tensor;
  readonly #names: ReadonlyMap<number, string>;
  readonly #recorded = new Map<string, ExampleGradients>();

  /** @param parameters those that are trained, by name; what layers say of others is dropped */
  constructor(examples: number, parameters: ReadonlyMap<string, tf.Tensor>) {
    this.tap = tf.zeros([examples]);
    this.#names = new Map([...parameters].map(([name, { id }]) => [id, name]));
  }

  /** @param x [N, ..], one row for each example */
  run(x: tf.Tensor, { forward, backward }: RecordedLayer): tf.Tensor {
    const [examples] = this.tap.shape;
    if (x.shape[0] !== examples) {
      throw new ConsiliumError("privacy.not-per-example", {
        detail: `(a layer got [${x.shape.join(", ")}] for ${examples} examples)`,
      });
    }
    return tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
      const [input, , save] = args as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
      const [value, ...more] = forward(input);
      save([input, ...more]);
      return {
        value,
        gradFunc: (dy, saved) => {
          const { dx, parameters } = backward(dy, saved);
          return [dx, this.#record(parameters)];
        },
      };
    })(x, this.tap);
  }

  #record(parameters: readonly ExampleGradients[]): tf.Tensor {
    const squares: tf.Tensor[] = [];
    for (const gradients of parameters) {
      const name = this.#names.get(gradients.parameter.id);
      if (name === undefined) continue;
      // Squared norms of the two uses would not be that of their sum.
      if (this.#recorded.has(name)) throw notPerExample(name);
      squares.push(gradients.squares);
      // TF.js disposes of everything that the differentiated function does not return.
      const kept = gradients.kept.map((tensor) => tf.keep(tf.clone(tensor)));
      this.#recorded.set(name, { ...gradients, kept });
    }
    return squares.length === 0 ? tf.zerosLike(this.tap) : tf.addN(squares);
  }

  /**
   * The sum of all examples' gradients times `weights`, for each parameter that a layer used.
   * @param weights [N]
   */
  weighted(weights: tf.Tensor): ReadonlyMap<string, tf.Tensor> {
    return new Map([...this.#recorded].map(([name, { kept, weighted }]) => [name, weighted(kept, weights)]));
  }

  dispose(): void {
    for (const { kept } of this.#recorded.values()) for (const tensor of kept) tensor.dispose();
    this.#recorded.clear();
  }
}

/** @returns the error for a parameter whose gradients of single examples are not known */
export const notPerExample = (parameter: string): ConsiliumError =>
  new ConsiliumError("privacy.not-per-example", { detail: `(${parameter})`, culprits: [parameter] });

/** Of gradients that are there, one row for each example: biases, norms and tokens. @param rows [N, length] */
export function fromRows(parameter: tf.Tensor, rows: tf.Tensor): ExampleGradients {
  const [examples = 0] = rows.shape;
  return {
    parameter,
    squares: tf.sum(tf.square(rows), 1),
    kept: [rows],
    weighted: ([kept], weights) =>
      tf.reshape(tf.matMul(tf.reshape(weights, [1, examples]), kept as tf.Tensor2D), parameter.shape),
  };
}

/**
 * Of a matrix W in y = x W: an example's gradient is x^T dy. Its squared norm is the sum of (x x^T) o (dy dy^T), T x T,
 * which is less work than the gradient itself unless there are many tokens.
 * @param x [N, T, in]; dy [N, T, out]
 */
export function fromProducts(parameter: tf.Tensor, x: tf.Tensor, dy: tf.Tensor): ExampleGradients {
  const [examples = 0, tokens = 0, inputs = 0] = x.shape;
  const outputs = dy.shape.at(-1) ?? 0;
  const squares =
    tokens * (inputs + outputs) <= inputs * outputs
      ? tf.sum(tf.mul(tf.matMul(x, x, false, true), tf.matMul(dy, dy, false, true)), [1, 2])
      : tf.sum(tf.square(tf.matMul(x, dy, true)), [1, 2]);
  return {
    parameter,
    squares,
    kept: [x, dy],
    weighted: ([keptX, keptDy], weights) => {
      const scaled = tf.mul(keptDy as tf.Tensor, tf.reshape(weights, [examples, 1, 1]));
      return tf.matMul(
        tf.reshape(keptX as tf.Tensor, [examples * tokens, inputs]),
        tf.reshape(scaled, [examples * tokens, outputs]),
        true,
      );
    },
  };
}
