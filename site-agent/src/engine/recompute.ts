/**
 * Activation recomputation (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): of a block only its
 * inputs are kept for the backward pass, which computes the block once more. A model marks its blocks; whether they
 * are computed twice is up to whoever compiles the step.
 */
import * as tf from "./tf.ts";

export type Block = (...inputs: tf.Tensor[]) => tf.Tensor;

let recomputing = false;

/** Runs `work`, in which blocks marked by `recompute` are computed twice if `on`. */
export function withRecomputation<Result>(on: boolean, work: () => Result): Result {
  const before = recomputing;
  recomputing = on;
  try {
    return work();
  } finally {
    recomputing = before;
  }
}

/**
 * @param block from float32 tensors, of which the first one comes out of what is before the block; all that it
 *   differentiates has to be among its inputs
 * @returns the same function; inside `withRecomputation(true)` its gradient computes it again
 */
export const recompute =
  (block: Block): Block =>
  (...inputs) =>
    recomputing ? computedTwice(block)(...inputs) : block(...inputs);

const computedTwice = (block: Block): Block =>
  tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = args.at(-1) as tf.GradSaveFunc;
    const inputs = args.slice(0, -1) as tf.Tensor[];
    save(inputs);
    return {
      value: block(...inputs),
      gradFunc: (dy, saved) => gradientsOf(block, saved, dy),
    };
  });

function gradientsOf(block: Block, [first, ...others]: readonly tf.Tensor[], dy: tf.Tensor): tf.Tensor[] {
  if (first === undefined) throw new RangeError("a block needs an input");
  const inputs = [after(dy, first), ...others];
  const { state } = tf.engine();
  // The inner call ends the tape that it finds; the outer one, in the middle of its own, still needs it.
  const { activeTape } = state;
  try {
    return tf.engine().gradients(() => block(...inputs), inputs, dy).grads;
  } finally {
    state.activeTape = activeTape;
  }
}

/**
 * `x`, but not before `dy` is known: otherwise the second computation could be merged with the first, or run ahead of
 * time, and nothing would be saved. 0 times what is no number spoils the gradient, which is spoilt already.
 */
function after(dy: tf.Tensor, x: tf.Tensor): tf.Tensor {
  const one = tf.slice(tf.reshape(dy, [-1]), [0], [1]);
  return tf.add(x, tf.reshape(tf.mul(one, 0), []));
}
