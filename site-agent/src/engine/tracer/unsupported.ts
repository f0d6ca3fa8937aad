/** The kernels of TF.js that no compiled step can hold, each with the way out. */
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import * as tf from "@tensorflow/tfjs-core";

export interface Unsupported {
  readonly code: Extract<ErrorCode, "engine.unsupported-op" | "engine.dynamic-shape">;
  readonly wayOut: string;
}

const refuse = (wayOut: string, ...names: readonly string[]): [string, Unsupported][] =>
  names.map((name) => [name, { code: "engine.unsupported-op", wayOut }]);

/** The length of the result depends on the values. */
const refuseLength = (wayOut: string, ...names: readonly string[]): [string, Unsupported][] =>
  names.map((name) => [name, { code: "engine.dynamic-shape", wayOut }]);

export const unsupportedKernels: ReadonlyMap<string, Unsupported> = new Map([
  ...refuseLength(
    "run it after training, on Inference outputs",
    tf.NonMaxSuppressionV3,
    tf.NonMaxSuppressionV4,
    tf.NonMaxSuppressionV5,
  ),
  ...refuseLength("find the distinct values while preparing the data", tf.Unique),
  ...refuseLength(
    "pad to one length while preparing the data and mask with tf.where",
    tf.RaggedGather,
    tf.RaggedRange,
    tf.RaggedTensorToTensor,
    tf.SparseFillEmptyRows,
    tf.SparseReshape,
  ),
  ...refuse("use tf.unsortedSegmentSum, divided by the counts for a mean", tf.SparseSegmentMean, tf.SparseSegmentSum), // prettier-ignore
  ...refuse(
    "shapes are plain numbers while tracing: use tf.broadcast_util.assertAndGetBroadcastShape",
    tf.BroadcastArgs,
  ),
  ...refuse("keep real and imaginary parts as two tensors", tf.Complex, tf.Real, tf.Imag, tf.ComplexAbs),
  ...refuse("multiply by the constant matrices of cosines and sines instead", tf.FFT, tf.IFFT),
  ...refuse("draw while preparing the batch and give it to the step as an input", tf.Multinomial),
  ...refuse(
    "resample with two products by interpolation matrices, as the augmentation does (pretext/mae.ts), or crop while preparing the batch",
    tf.CropAndResize,
    tf.RotateWithOffset,
    tf.Transform,
  ),
  ...refuse("use tf.maxPool; its gradient finds the positions itself", tf.MaxPoolWithArgmax),
  ...refuse(
    "take the maximum of shifted slices (tf.pad, tf.slice, tf.add, tf.maximum); tf.maxPool if all weights are equal",
    tf.Dilation2D,
    tf.Dilation2DBackpropInput,
    tf.Dilation2DBackpropFilter,
  ),
  ...refuse("read and draw pictures outside of the step", tf.FromPixels, tf.Draw),
  ...refuse(
    "turn text into numbers while preparing the data",
    tf.StaticRegexReplace,
    tf.StringNGrams,
    tf.StringSplit,
    tf.StringToHashBucketFast,
  ),
  // Names without an operation: nothing in TF.js 4.22 runs these.
  ...refuse("use tf.lowerBound or tf.upperBound, which run SearchSorted", tf.LowerBound, tf.UpperBound),
  ...refuse("use tf.linalg.bandPart", tf.MatrixBandPart),
  ...refuse("use tf.pool", tf.Pool),
]);

/** Supported kernels through which no gradient is compiled, by the reason and the way out. */
const WITHOUT_GRADIENT: readonly (readonly [reason: string, ...names: readonly string[]])[] = [
  ["it counts: use tf.oneHot with soft weights if a gradient is wanted", tf.Bincount, tf.DenseBincount],
  ["it returns positions: keep it off what is differentiated", tf.SearchSorted],
  [
    "second derivatives of it are not compiled: differentiate once",
    ...[tf.EluGrad, tf.LRNGrad, tf.ResizeBilinearGrad, tf.ResizeNearestNeighborGrad],
    ...[tf.MaxPoolGrad, tf.MaxPool3DGrad, tf.AvgPoolGrad, tf.AvgPool3DGrad],
    ...[tf.Conv2DBackpropFilter, tf.Conv3DBackpropFilterV2],
    ...[tf.DepthwiseConv2dNativeBackpropInput, tf.DepthwiseConv2dNativeBackpropFilter],
  ],
];

export const withoutGradient: ReadonlyMap<string, string> = new Map(
  WITHOUT_GRADIENT.flatMap(([reason, ...names]) => names.map((name) => [name, reason] as const)),
);

/** @returns what to throw where the tracer meets a kernel that it has not */
export function unsupported(name: string): ConsiliumError {
  const { code, wayOut } = unsupportedKernels.get(name) ?? {
    code: "engine.unsupported-op",
    wayOut: "write it with the operations of docs/engine-operations.md",
  };
  return new ConsiliumError(code, { detail: `(${name}: ${wayOut})`, culprits: [name] });
}
