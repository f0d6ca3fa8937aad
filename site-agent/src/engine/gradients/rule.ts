/** What a gradient rule is, and the sums that undo broadcasting. */
import * as tf from "@tensorflow/tfjs-core";

/** Gradients by TF.js' names of a kernel's inputs, each worked out only if it is needed. */
export type InputGradients = Record<string, () => tf.Tensor>;

export interface Saves {
  /** Inputs that the rule gets as `saved`, in this order. */
  readonly inputs?: readonly string[];
  /** The rule gets all inputs, whatever their names. */
  readonly allInputs?: boolean;
  /** The rule gets the first output, after the inputs. */
  readonly output?: boolean;
  /** The same for each of several outputs. */
  readonly outputs?: readonly boolean[];
}

/** Methods on purpose: a rule names the attributes that TF.js declares for its kernel. */
interface Backward {
  ofOne(dy: tf.Tensor, saved: Saved, attributes: object): InputGradients;
  ofMany(dys: readonly tf.Tensor[], saved: Saved, attributes: object): InputGradients;
}

/** A kernel with one output. `dy` is the gradient of that output. */
export function rule(kernelName: string, saves: Saves, backward: Backward["ofOne"]): tf.GradConfig {
  return ruleOfMany(kernelName, saves, ([dy], saved, attributes) => {
    if (dy === undefined) throw new RangeError(`${kernelName} has no output`);
    return backward(dy, saved, attributes);
  });
}

/** A kernel with several outputs. */
export function ruleOfMany(
  kernelName: string,
  { inputs = [], allInputs = false, output = false, outputs = [output] }: Saves,
  backward: Backward["ofMany"],
): tf.GradConfig {
  return {
    kernelName,
    inputsToSave: [...inputs],
    saveAllInputs: allInputs,
    outputsToSave: [...outputs],
    gradFunc: (dy, saved, attributes) =>
      backward(Array.isArray(dy) ? dy : [dy], new Saved(saved), attributes),
  };
}

/** Tensors that the forward pass kept for the rule. */
export class Saved {
  readonly all: readonly tf.Tensor[];

  constructor(tensors: readonly tf.Tensor[]) {
    this.all = tensors;
  }

  at(index: number): tf.Tensor {
    const tensor = this.all[index];
    if (tensor === undefined) throw new RangeError(`the forward pass kept no tensor ${index}`);
    return tensor;
  }
}

/** The gradient of an operand of shape `shape`, from that of a result to which it was broadcast. */
export function sumToShape(gradient: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes([...shape], gradient.shape);
  const summed = axes.length === 0 ? gradient : tf.sum(gradient, axes);
  return tf.reshape(summed, [...shape]);
}

/** The gradient of something that does not depend smoothly on its input. */
export const none = (input: tf.Tensor): tf.Tensor => tf.zeros(input.shape, "float32");
