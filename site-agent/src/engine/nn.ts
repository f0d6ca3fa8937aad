/**
 * The layers in which training spends its time: the same result on every TF.js backend, with the backward pass in
 * closed form and ONNX Runtime's fused operators while being traced.
 */
import { currentRecorder, fromProducts, fromRows, type RecordedLayer } from "./per-example.ts";
import * as tf from "./tf.ts";
import { TRACER } from "./tracer/backend.ts";
import { FUSED_AFFINE, FUSED_GELU, FUSED_LAYER_NORM } from "./tracer/fused.ts";

/** timm's and the MAE paper's epsilon of LayerNorm in vision transformers. */
const LAYER_NORM_EPSILON = 1e-6;

const isTracing = (): boolean => tf.getBackend() === TRACER;

/** x [.., in] W [in, out] + b [out] -> [.., out]. */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const recorder = currentRecorder();
  if (recorder !== null) return recorder.run(x, recordedLinear(weight, bias));
  const [inputs = 1, outputs = 1] = weight.shape;
  // One large product instead of one for every item of the batch.
  const rows = tf.reshape(x, [-1, inputs]);
  const y = affine(rows, weight, bias);
  return tf.reshape(y, [...x.shape.slice(0, -1), outputs]);
}

const affine = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
  const [x, weight, bias, save] = args as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D, tf.GradSaveFunc];
  save([x, weight]);
  return {
    value: affineValue(x, weight, bias),
    gradFunc: (dy, saved) => {
      const [savedX, savedWeight] = saved as [tf.Tensor, tf.Tensor];
      return [tf.matMul(dy, savedWeight, false, true), tf.matMul(savedX, dy, true, false), tf.sum(dy, 0)];
    },
  };
});

const affineValue = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor =>
  isTracing()
    ? tf.engine().runKernel<tf.Tensor>(FUSED_AFFINE, { x, weight, bias })
    : tf.add(tf.matMul(x, weight), bias);

/** `linear` on x [N, .., in], for gradients of single examples. */
function recordedLinear(weight: tf.Tensor, bias: tf.Tensor): RecordedLayer {
  const [inputs = 1, outputs = 1] = weight.shape;
  return {
    forward: (x) => {
      const y = affineValue(tf.reshape(x, [-1, inputs]), weight, bias);
      return [tf.reshape(y, [...x.shape.slice(0, -1), outputs])];
    },
    backward: (dy, [x = dy]) => {
      const [examples = 1] = x.shape;
      const rows = tf.matMul(tf.reshape(dy, [-1, outputs]), weight, false, true);
      const dyByExample = tf.reshape<tf.Rank.R3>(dy, [examples, -1, outputs]);
      return {
        dx: tf.reshape(rows, x.shape),
        parameters: [
          fromProducts(weight, tf.reshape(x, [examples, -1, inputs]), dyByExample),
          fromRows(bias, tf.sum(dyByExample, 1)),
        ],
      };
    },
  };
}

/**
 * x [.., in] A [in, rank] B [rank, out] -> [.., out], for A that is not trained: what a factor of low rank adds to `linear`.
 */
export function product(x: tf.Tensor, drawn: tf.Tensor, factor: tf.Tensor): tf.Tensor {
  const recorder = currentRecorder();
  if (recorder !== null) return recorder.run(x, recordedProduct(drawn, factor));
  const [, outputs = 1] = factor.shape;
  return tf.reshape(rowsTimes(rowsTimes(x, drawn), factor), [...x.shape.slice(0, -1), outputs]);
}

/** [.., in] [in, out] -> [rows, out] */
function rowsTimes(x: tf.Tensor, matrix: tf.Tensor): tf.Tensor {
  const [inputs = 1] = matrix.shape;
  return tf.matMul(tf.reshape(x, [-1, inputs]), matrix);
}

/** `product` on x [N, .., in], for gradients of single examples. */
function recordedProduct(drawn: tf.Tensor, factor: tf.Tensor): RecordedLayer {
  const [rank = 1, outputs = 1] = factor.shape;
  return {
    forward: (x) => {
      const inner = rowsTimes(x, drawn);
      return [tf.reshape(rowsTimes(inner, factor), [...x.shape.slice(0, -1), outputs]), inner];
    },
    backward: (dy, [x = dy, inner = dy]) => {
      const [examples = 1] = x.shape;
      const dInner = tf.matMul(tf.reshape(dy, [-1, outputs]), factor, false, true);
      return {
        dx: tf.reshape(tf.matMul(dInner, drawn, false, true), x.shape),
        parameters: [
          fromProducts(
            factor,
            tf.reshape(inner, [examples, -1, rank]),
            tf.reshape<tf.Rank.R3>(dy, [examples, -1, outputs]),
          ),
        ],
      };
    },
  };
}

/** x [N, T, D] + a token [1, 1, D] that all share. */
export function addToken(x: tf.Tensor, token: tf.Tensor): tf.Tensor {
  const recorder = currentRecorder();
  if (recorder === null) return tf.add(token, x);
  return recorder.run(x, {
    forward: (input) => [tf.add(token, input)],
    backward: (dy) => ({ dx: dy, parameters: [fromRows(token, tf.sum(dy, 1))] }),
  });
}

interface Normalised {
  readonly y: tf.Tensor;
  readonly mean: tf.Tensor;
  /** 1 / standard deviation */
  readonly scale: tf.Tensor;
}

function normalise(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, epsilon: number): Normalised {
  if (isTracing()) {
    const outputs = tf.engine().runKernel(FUSED_LAYER_NORM, { x, gain, bias }, { epsilon });
    const [y, mean, scale] = outputs as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { y, mean, scale };
  }
  const mean = tf.mean(x, -1, true);
  const centred = tf.sub(x, mean);
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
  return { y: tf.add(tf.mul(tf.mul(centred, scale), gain), bias), mean, scale };
}

/**
 * LayerNorm over the last axis (Ba, Kiros and Hinton 2016), epsilon 1e-6.
 * @param x [.., d]; gain and bias [d]
 */
export function layerNorm(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor): tf.Tensor {
  const recorder = currentRecorder();
  return recorder === null ? plainLayerNorm(x, gain, bias) : recorder.run(x, recordedLayerNorm(gain, bias));
}

const plainLayerNorm: typeof layerNorm = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
  const [x, gain, bias, save] = args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
  const { y, mean, scale } = normalise(x, gain, bias, LAYER_NORM_EPSILON);
  save([x, gain, mean, scale]);
  return {
    value: y,
    gradFunc: (dy, saved) => {
      const [savedX, savedGain, savedMean, savedScale] = saved as [
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
        tf.Tensor,
      ];
      const rows = dy.shape.slice(0, -1).map((_, axis) => axis);
      const { dx, dyUnit } = normalisedBackward(dy, savedGain, {
        x: savedX,
        mean: savedMean,
        scale: savedScale,
      });
      return [dx, tf.sum(dyUnit, rows), tf.sum(dy, rows)];
    },
  };
});

/** `layerNorm` on x [N, .., d], for gradients of single examples. */
function recordedLayerNorm(gain: tf.Tensor, bias: tf.Tensor): RecordedLayer {
  const byExample = (gradient: tf.Tensor): tf.Tensor =>
    tf.sum(tf.reshape<tf.Rank.R3>(gradient, [gradient.shape[0], -1, gradient.shape.at(-1) ?? 1]), 1);
  return {
    forward: (x) => {
      const { y, mean, scale } = normalise(x, gain, bias, LAYER_NORM_EPSILON);
      return [y, mean, scale];
    },
    backward: (dy, [x = dy, mean = dy, scale = dy]) => {
      const { dx, dyUnit } = normalisedBackward(dy, gain, { x, mean, scale });
      return { dx, parameters: [fromRows(gain, byExample(dyUnit)), fromRows(bias, byExample(dy))] };
    },
  };
}

/** The gradient of x, and that of the gain before it is summed. */
function normalisedBackward(
  dy: tf.Tensor,
  gain: tf.Tensor,
  { x, mean, scale }: { readonly x: tf.Tensor } & Omit<Normalised, "y">,
): { readonly dx: tf.Tensor; readonly dyUnit: tf.Tensor } {
  const unit = tf.mul(tf.sub(x, mean), scale);
  const dyUnit = tf.mul(dy, unit);
  const dUnit = tf.mul(dy, gain);
  const projected = tf.mul(unit, tf.mean(tf.mul(dUnit, unit), -1, true));
  return { dx: tf.mul(tf.sub(tf.sub(dUnit, tf.mean(dUnit, -1, true)), projected), scale), dyUnit };
}

/** log(1 / sqrt(pi)): folds the factor of the density into its exponent, which saves a pass over memory. */
const LOG_DENSITY_FACTOR = -0.5 * Math.log(Math.PI);

/** Of t = x / sqrt(2): Phi(x) = (1 + erf(t)) / 2. */
const phiOf = (t: tf.Tensor): tf.Tensor => tf.mul(tf.add(tf.erf(t), 1), 0.5);

/**
 * x * Phi(x) with the normal distribution's Phi (Hendrycks and Gimpel 2016), exact.
 * With t = x / sqrt(2) the derivative is Phi + t exp(-t^2) / sqrt(pi). The backward pass works t and Phi out of x: they
 * are four times as wide as everything else in a transformer's block, and not worth keeping.
 */
export const gelu: (x: tf.Tensor) => tf.Tensor = tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
  const [x, save] = args as [tf.Tensor, tf.GradSaveFunc];
  save([x]);
  return {
    value: isTracing()
      ? tf.engine().runKernel<tf.Tensor>(FUSED_GELU, { x })
      : tf.mul(x, phiOf(tf.mul(x, Math.SQRT1_2))),
    gradFunc: (dy, saved) => {
      const [savedX] = saved as [tf.Tensor];
      const t = tf.mul(savedX, Math.SQRT1_2);
      const density = tf.exp(tf.sub(LOG_DENSITY_FACTOR, tf.square(t)));
      return [tf.mul(dy, tf.add(phiOf(t), tf.mul(t, density)))];
    },
  };
});

/**
 * softmax(q k^T scale) v (Vaswani et al. 2017), one head per leading index.
 * @param q [.., L, d]; k [.., S, d]; v [.., S, e]
 * @param scale 1 / sqrt(d) unless given
 * @returns [.., L, e]
 */
export function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, scale?: number): tf.Tensor {
  const factor = scale ?? 1 / Math.sqrt(q.shape.at(-1) ?? 1);
  const scores = tf.matMul(tf.mul(q, factor), k, false, true);
  return tf.matMul(tf.softmax(scores), v);
}

/**
 * Self-attention of all heads at once, without moving elements around more than needed.
 * @param qkv [B, L, 3 D]: queries, keys and values beside each other, as timm's `qkv` layer makes them
 * @returns [B, L, D]
 */
export function selfAttention(qkv: tf.Tensor, heads: number): tf.Tensor {
  const [batch = 1, length = 1, width = 3] = qkv.shape;
  const size = width / 3 / heads;
  const split = tf.transpose(tf.reshape(qkv, [batch, length, 3, heads, size]), [2, 0, 3, 1, 4]);
  const [q, k, v] = tf.unstack(split) as [tf.Tensor, tf.Tensor, tf.Tensor]; // [B, h, L, d]
  const y = attention(q, k, v); // [B, h, L, d]
  return tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [batch, length, heads * size]);
}
