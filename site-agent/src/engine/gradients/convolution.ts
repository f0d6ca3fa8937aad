/** Gradient rules of convolutions and pooling. */
import * as tf from "@tensorflow/tfjs-core";
import {
  depthwiseFilterGradient,
  depthwiseInputGradient,
  filterGradient,
  inputGradient,
} from "../compositions/convolution.ts";
import { averagePoolGradient, type PoolAttributes } from "../compositions/pooling.ts";
import { windowsOf, type Window, type WindowAttributes } from "../compositions/window.ts";
import { rule, type InputGradients, type Saved } from "./rule.ts";

const run = (name: string, inputs: tf.NamedTensorMap, attributes: object): tf.Tensor =>
  tf.engine().runKernel<tf.Tensor>(name, inputs, { ...attributes });

/** The kernels that TF.js has for the gradients of a convolution, which all ignore dilations. */
interface Backprops {
  readonly input: string;
  readonly filter: string;
}

interface DilatedGradients {
  readonly input: typeof inputGradient;
  readonly filter: typeof filterGradient;
}

function gradients(
  dy: tf.Tensor,
  saved: Saved,
  attributes: WindowAttributes,
  kernels: Backprops,
  dilated: DilatedGradients,
): InputGradients {
  const [x, filter] = [saved.at(0), saved.at(1)];
  const windows = (): Window[] => windowsOf(x.shape, filter.shape.slice(0, -2), attributes);
  if (isDilated(attributes)) {
    return {
      x: () => dilated.input(dy, filter, windows()),
      filter: () => dilated.filter(x, dy, windows()),
    };
  }
  return {
    x: () => run(kernels.input, { dy, filter }, { ...attributes, inputShape: x.shape }),
    filter: () => run(kernels.filter, { x, dy }, { ...attributes, filterShape: filter.shape }),
  };
}

const isDilated = ({ dilations = 1 }: WindowAttributes): boolean =>
  typeof dilations === "number" ? dilations > 1 : dilations.some((dilation) => dilation > 1);

const convolution = (name: string, kernels: Backprops, dilated: DilatedGradients): tf.GradConfig =>
  rule(name, { inputs: ["x", "filter"] }, (dy, saved, attributes: WindowAttributes) =>
    gradients(dy, saved, attributes, kernels, dilated),
  );

/** Transposed convolutions: the gradient of the gradient is the convolution itself. */
const transposed = (name: string, forward: string, filterKernel: string): tf.GradConfig =>
  rule(name, { inputs: ["dy", "filter"] }, (ddx, saved, attributes: WindowAttributes) => {
    const [dy, filter] = [saved.at(0), saved.at(1)];
    return {
      dy: () => run(forward, { x: ddx, filter }, { dilations: 1, ...attributes }),
      filter: () => run(filterKernel, { x: ddx, dy }, { ...attributes, filterShape: filter.shape }),
    };
  });

const maxPool = (name: string, kernel: string): tf.GradConfig =>
  rule(name, { inputs: ["x"], output: true }, (dy, saved, attributes: PoolAttributes) => ({
    x: () => run(kernel, { dy, input: saved.at(0), output: saved.at(1) }, attributes),
  }));

const averagePool = (name: string): tf.GradConfig =>
  rule(name, { inputs: ["x"] }, (dy, saved, attributes: PoolAttributes) => ({
    x: () => averagePoolGradient(dy, saved.at(0).shape, attributes),
  }));

const plain = { input: inputGradient, filter: filterGradient };

export const convolutionRules: readonly tf.GradConfig[] = [
  convolution(tf.Conv2D, { input: tf.Conv2DBackpropInput, filter: tf.Conv2DBackpropFilter }, plain),
  convolution(tf.Conv3D, { input: tf.Conv3DBackpropInputV2, filter: tf.Conv3DBackpropFilterV2 }, plain),
  convolution(
    tf.DepthwiseConv2dNative,
    { input: tf.DepthwiseConv2dNativeBackpropInput, filter: tf.DepthwiseConv2dNativeBackpropFilter },
    { input: depthwiseInputGradient, filter: depthwiseFilterGradient },
  ),
  transposed(tf.Conv2DBackpropInput, tf.Conv2D, tf.Conv2DBackpropFilter),
  transposed(tf.Conv3DBackpropInputV2, tf.Conv3D, tf.Conv3DBackpropFilterV2),
  maxPool(tf.MaxPool, tf.MaxPoolGrad),
  maxPool(tf.MaxPool3D, tf.MaxPool3DGrad),
  averagePool(tf.AvgPool),
  averagePool(tf.AvgPool3D),
];
