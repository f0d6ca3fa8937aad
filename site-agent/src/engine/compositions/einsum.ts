/** Einstein's sums as matrix products. */
import * as tf from "@tensorflow/tfjs-core";
import { composition, type Composition, type Tensors } from "./composition.ts";

/** Sums and products of two tensors along named axes, without repeated names within one of them. */
export function einsum(inputs: Tensors<string>, { equation }: tf.EinsumAttrs): tf.Tensor {
  const operands = Object.values(inputs);
  const plan = tf.backend_util.decodeEinsumEquation(equation, operands.length);
  const result = plan.allDims.map((_, i) => i).filter((i) => !plan.summedDims.includes(i));
  const named = operands.map((tensor, i) => ({ tensor, axes: plan.idDims[i] ?? [] }));
  const [first, second] = named;
  if (first === undefined) throw new RangeError("einsum of nothing");
  if (second === undefined) return arrange(sumOthers(first, result), result);
  return arrange(contract(sumOthers(first, [...result, ...second.axes]), sumOthers(second, [...result, ...first.axes]), result), result); // prettier-ignore
}

interface Named {
  readonly tensor: tf.Tensor;
  /** The name of each axis, as a number. */
  readonly axes: readonly number[];
}

/** Sums over the axes whose name is not in `kept`. */
function sumOthers({ tensor, axes }: Named, kept: readonly number[]): Named {
  const summed = axes.flatMap((name, axis) => (kept.includes(name) ? [] : [axis]));
  if (summed.length === 0) return { tensor, axes };
  return { tensor: tf.sum(tensor, summed), axes: axes.filter((name) => kept.includes(name)) };
}

const arrange = ({ tensor, axes }: Named, order: readonly number[]): tf.Tensor =>
  tf.transpose(
    tensor,
    order.map((name) => axes.indexOf(name)),
  );

/** A batched matrix product over the axes that both have and the result has not. */
function contract(a: Named, b: Named, result: readonly number[]): Named {
  const shared = a.axes.filter((name) => b.axes.includes(name));
  const batch = shared.filter((name) => result.includes(name));
  const inner = shared.filter((name) => !result.includes(name));
  const rows = a.axes.filter((name) => !shared.includes(name));
  const columns = b.axes.filter((name) => !shared.includes(name));
  const lengthOf = (name: number): number =>
    (a.axes.includes(name) ? a.tensor.shape[a.axes.indexOf(name)] : b.tensor.shape[b.axes.indexOf(name)]) ?? 1; // prettier-ignore
  const size = (names: readonly number[]): number =>
    names.reduce((product, name) => product * lengthOf(name), 1);
  const left = tf.reshape(arrange(a, [...batch, ...rows, ...inner]), [size(batch), size(rows), size(inner)]); // prettier-ignore
  const right = tf.reshape(arrange(b, [...batch, ...inner, ...columns]), [size(batch), size(inner), size(columns)]); // prettier-ignore
  const axes = [...batch, ...rows, ...columns];
  return { tensor: tf.reshape(tf.matMul(left, right), axes.map(lengthOf)), axes };
}

/** TF.js numbers the operands. */
export const einsumComposition: Composition = composition(
  tf.Einsum,
  "all",
  (inputs: Tensors<string>, attributes: tf.EinsumAttrs) => einsum(inputs, attributes),
);
