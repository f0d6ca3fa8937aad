/** Gradient rules of reductions, softmax, matrix products and kernels that move elements. */
import * as tf from "@tensorflow/tfjs-core";
import { padAxis } from "../compositions/composition.ts";
import { none, rule, ruleOfMany, sumToShape, type InputGradients, type Saved } from "./rule.ts";

const { mul, sub, div, cast, matMul, reshape } = tf;

/** null means all. */
type Axes = number | number[] | null;

interface AxisAttributes {
  readonly axis: Axes;
}

/** TF.js' Max calls its axes by another name than Min. */
interface ExtremeAttributes {
  readonly axis?: Axes;
  readonly reductionIndices?: Axes;
}

/** `shape` with the reduced axes kept as 1, and how many elements went into each result. */
function reduced(shape: readonly number[], axis: Axes): { kept: number[]; count: number } {
  const axes = axis === null ? shape.map((_, i) => i) : tf.util.parseAxisParam(axis, [...shape]);
  return {
    kept: shape.map((length, i) => (axes.includes(i) ? 1 : length)),
    count: axes.reduce((count, i) => count * (shape[i] ?? 1), 1),
  };
}

const spread = (dy: tf.Tensor, shape: readonly number[], axis: Axes): tf.Tensor =>
  tf.broadcastTo(reshape(dy, reduced(shape, axis).kept), [...shape]);

/** Of several equal extremes each gets the whole gradient, as in TF.js. */
const extreme = (name: string): tf.GradConfig =>
  rule(name, { inputs: ["x"], output: true }, (dy, saved, { axis, reductionIndices }: ExtremeAttributes) => ({
    x: () => {
      const x = saved.at(0);
      const { kept } = reduced(x.shape, reductionIndices ?? axis ?? null);
      const hit = tf.equal(x, reshape(saved.at(1), kept));
      return mul(reshape(dy, kept), cast(hit, "float32"));
    },
  }));

/** For each element the product of those that are reduced with it: right for zeros too. */
function productOfOthers(x: tf.Tensor, axis: Axes): tf.Tensor {
  const all = x.shape.map((_, i) => i);
  const axes = axis === null ? all : tf.util.parseAxisParam(axis, x.shape);
  const order = [...all.filter((i) => !axes.includes(i)), ...axes];
  const moved = tf.transpose(x, order);
  const lines = reshape(moved, [-1, reduced(x.shape, axis).count]);
  const others = mul(tf.cumprod(lines, 1, true, false), tf.cumprod(lines, 1, true, true));
  return tf.transpose(reshape(others, moved.shape), tf.backend_util.getUndoAxesPermutation(order));
}

const reductions: readonly tf.GradConfig[] = [
  rule(tf.Sum, { inputs: ["x"] }, (dy, saved, { axis }: AxisAttributes) => ({
    x: () => spread(dy, saved.at(0).shape, axis),
  })),
  rule(tf.Mean, { inputs: ["x"] }, (dy, saved, { axis }: AxisAttributes) => ({
    x: () => {
      const { shape } = saved.at(0);
      return spread(div(dy, reduced(shape, axis).count), shape, axis);
    },
  })),
  extreme(tf.Max),
  extreme(tf.Min),
  rule(tf.Prod, { inputs: ["x"] }, (dy, saved, { axis }: AxisAttributes) => ({
    x: () => {
      const x = saved.at(0);
      return mul(reshape(dy, reduced(x.shape, axis).kept), productOfOthers(x, axis));
    },
  })),
  rule(tf.Cumsum, {}, (dy, _, { axis, exclusive, reverse }: tf.CumsumAttrs) => ({
    x: () => tf.cumsum(dy, axis, exclusive, !reverse),
  })),
  rule(tf.Softmax, { output: true }, (dy, saved, { dim }: tf.SoftmaxAttrs) => ({
    logits: () => {
      const y = saved.at(0);
      return mul(y, sub(dy, tf.sum(mul(dy, y), dim, true)));
    },
  })),
  rule(tf.LogSoftmax, { output: true }, (dy, saved, { axis }: tf.LogSoftmaxAttrs) => ({
    logits: () => sub(dy, mul(tf.exp(saved.at(0)), tf.sum(dy, axis, true))),
  })),
];

/** Answers and positions: flat too. */
export const answerRules: readonly tf.GradConfig[] = [tf.ArgMax, tf.ArgMin, tf.All, tf.Any].map((name) =>
  rule(name, { inputs: ["x"] }, (_, saved) => ({ x: () => none(saved.at(0)) })),
);

/** Unlike TF.js' own rule this sums over batch axes along which an operand was broadcast. */
const products: readonly tf.GradConfig[] = [
  rule(tf.BatchMatMul, { inputs: ["a", "b"] }, (dy, saved, attributes: tf.BatchMatMulAttrs) => {
    const [a, b] = [saved.at(0), saved.at(1)];
    const { transposeA, transposeB } = attributes;
    const ofA = (): tf.Tensor =>
      transposeA ? matMul(b, dy, transposeB, true) : matMul(dy, b, false, !transposeB);
    const ofB = (): tf.Tensor =>
      transposeB ? matMul(dy, a, true, transposeA) : matMul(a, dy, !transposeA, false);
    return { a: () => sumToShape(ofA(), a.shape), b: () => sumToShape(ofB(), b.shape) };
  }),
];

/** Each of several inputs, which TF.js names by their position, gets its piece. */
const pieces = (count: number, piece: (index: number) => tf.Tensor): InputGradients =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [i, () => piece(i)]));

function concatGradient(dy: tf.Tensor, saved: Saved, axis: number): InputGradients {
  const along = tf.util.parseAxisParam(axis, saved.at(0).shape)[0] ?? 0;
  const sizes = saved.all.map((part) => part.shape[along] ?? 1);
  const parts = tf.split(dy, sizes, along);
  return pieces(saved.all.length, (i) => parts[i] ?? dy);
}

/** Each element goes back to where it was taken from; zeros fill the gaps that the steps left. */
function stridedSliceGradient(
  dy: tf.Tensor,
  shape: readonly number[],
  attributes: tf.StridedSliceAttrs,
): tf.Tensor {
  const { begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask } = attributes;
  const plan = tf.slice_util.sliceInfo([...shape], begin, end, strides, beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask); // prettier-ignore
  const cut = plan.begin.map((start, axis) =>
    Math.max(0, Math.ceil(((plan.end[axis] ?? 0) - start) / (plan.strides[axis] ?? 1))),
  );
  return shape.reduce<tf.Tensor>(
    (gradient, length, axis) => {
      const [step, start, count] = [plan.strides[axis] ?? 1, plan.begin[axis] ?? 0, cut[axis] ?? 0];
      const forwards = step < 0 ? tf.reverse(gradient, axis) : gradient;
      const first = step < 0 ? start + (count - 1) * step : start;
      const spaced = spaceOut(forwards, axis, Math.abs(step));
      return padAxis(spaced, axis, first, length - first - (spaced.shape[axis] ?? 0));
    },
    reshape(dy, cut),
  );
}

/** Puts `step` - 1 zeros after each element along an axis. */
function spaceOut(x: tf.Tensor, axis: number, step: number): tf.Tensor {
  if (step === 1) return x;
  const raised = padAxis(tf.expandDims(x, axis + 1), axis + 1, 0, step - 1);
  return reshape(
    raised,
    x.shape.map((length, i) => (i === axis ? length * step : length)),
  );
}

const moves: readonly tf.GradConfig[] = [
  rule(tf.Reshape, { inputs: ["x"] }, (dy, saved) => ({ x: () => reshape(dy, saved.at(0).shape) })),
  rule(tf.ExpandDims, { inputs: ["input"] }, (dy, saved) => ({
    input: () => reshape(dy, saved.at(0).shape),
  })),
  rule(tf.Transpose, {}, (dy, _, { perm }: tf.TransposeAttrs) => ({
    x: () => tf.transpose(dy, tf.backend_util.getUndoAxesPermutation(perm)),
  })),
  rule(tf.Reverse, {}, (dy, _, { dims }: tf.ReverseAttrs) => ({ x: () => tf.reverse(dy, dims) })),
  rule(tf.Concat, { allInputs: true }, (dy, saved, { axis }: tf.ConcatAttrs) =>
    concatGradient(dy, saved, axis),
  ),
  rule(tf.Pack, { allInputs: true }, (dy, saved, { axis }: tf.PackAttrs) => {
    const parts = tf.unstack(dy, axis);
    return pieces(saved.all.length, (i) => parts[i] ?? dy);
  }),
  ruleOfMany(tf.Unpack, {}, (dys, _, { axis }: tf.UnpackAttrs) => ({
    value: () => tf.stack([...dys], axis),
  })),
  ruleOfMany(tf.SplitV, {}, (dys, _, { axis }: tf.SplitVAttrs) => ({ x: () => tf.concat([...dys], axis) })),
  rule(tf.Slice, { inputs: ["x"] }, (dy, saved, { begin }: tf.SliceAttrs) => ({
    x: () => {
      const { shape } = saved.at(0);
      const paddings = shape.map((length, axis): [number, number] => {
        const before = (typeof begin === "number" ? [begin] : begin)[axis] ?? 0;
        return [before, length - before - (dy.shape[axis] ?? 0)];
      });
      return tf.pad(dy, paddings);
    },
  })),
  rule(tf.StridedSlice, { inputs: ["x"] }, (dy, saved, attributes: tf.StridedSliceAttrs) => ({
    x: () => stridedSliceGradient(dy, saved.at(0).shape, attributes),
  })),
  rule(tf.PadV2, { inputs: ["x"] }, (dy, saved, { paddings }: tf.PadV2Attrs) => ({
    x: () =>
      tf.slice(
        dy,
        paddings.map(([before]) => before),
        saved.at(0).shape,
      ),
  })),
  rule(tf.BroadcastTo, { inputs: ["x"] }, (dy, saved) => ({
    x: () => sumToShape(dy, saved.at(0).shape),
  })),
  rule(tf.Tile, { inputs: ["x"] }, (dy, saved, { reps }: tf.TileAttrs) => ({
    // [.., reps * n, ..] as [.., reps, n, ..], summed over every reps.
    x: () => {
      const { shape } = saved.at(0);
      const split = shape.flatMap((length, axis) => [reps[axis] ?? 1, length]);
      const repeated = shape.map((_, axis) => 2 * axis);
      return reshape(tf.sum(reshape(dy, split), repeated), shape);
    },
  })),
];

export const structureRules: readonly tf.GradConfig[] = [
  ...reductions,
  ...answerRules,
  ...products,
  ...moves,
];
