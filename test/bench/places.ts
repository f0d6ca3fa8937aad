/**
 * To which part of the model an operator belongs, ours and PyTorch's alike, so that the two can be compared although one
 * has an operator where the other has ten. Told by the operator's name and shapes alone.
 */
import { maeConfig } from "../../site-agent/src/pretext/mae.ts";
import type { NodeTime } from "./session-profile.ts";
import type { TorchOperator } from "./torch.ts";
import type { Workload } from "./workload.ts";

export const PLACES = [
  "linear layers, forward",
  "linear layers, input gradients",
  "linear layers, weight gradients",
  "linear layers, bias gradients",
  "attention, products and softmax",
  "GELU, both ways",
  "LayerNorm and residuals, both ways",
  "AdamW and clipping",
  "crops",
  "moving elements",
  "the rest",
] as const;
export type Place = (typeof PLACES)[number];

type Shape = readonly number[];

const PRODUCT = /^(Gemm|FusedGemm|MatMul|FusedMatMul)$/;
const MOVE = /^(Transpose|Split|Concat|Slice|Gather|Reshape|Pad|Cast|Identity|Squeeze|Unsqueeze|Expand)$/;
const ATTENTION = /Softmax|Attention/;
const NORM = /LayerNormalization/;

export class Places {
  /** Shapes of matrices among the weights, in both orientations: PyTorch's are transposed. */
  readonly #matrices: ReadonlySet<string>;
  readonly #weights: ReadonlySet<string>;
  readonly #hidden: readonly number[];

  constructor({ definition, plan }: Workload) {
    const { encoder, decoder } = maeConfig(plan);
    const shapes = definition.parameters.map(({ shape }) => shape);
    const matrices = shapes.filter(({ length }) => length === 2);
    this.#matrices = new Set(matrices.flatMap((shape) => [shape.join(), shape.toReversed().join()]));
    this.#weights = new Set(shapes.map((shape) => shape.join()));
    this.#hidden = [4 * encoder.width, 4 * decoder.width];
  }

  ofNode({ op, inputs: [first = [], second], outputs: [output = []], inputs }: NodeTime): Place {
    if (PRODUCT.test(op)) return this.#ofProduct(first, second ?? [], output, inputs.length > 2);
    if (MOVE.test(op)) return "moving elements";
    if (ATTENTION.test(op) || first.length === 4 || output.length === 4)
      return this.#ofRankFour(op, first, output);
    if (NORM.test(op)) return "LayerNorm and residuals, both ways";
    // Small weights share long vectors.
    if (this.#weights.has(first.join()) || (first.length === 1 && output.length <= 1))
      return "AdamW and clipping";
    if (first.length === 2 && output.length === 1) return "linear layers, bias gradients";
    return this.#ofTokens(output.length >= first.length ? output : first);
  }

  ofOperator({ name, shapes }: TorchOperator): Place {
    const [first = [], second = [], third = []] = shapes.map((shape) =>
      shape.filter((n) => typeof n === "number"),
    );
    switch (name.replace(/^aten::/, "")) {
      case "addmm":
        return "linear layers, forward";
      case "mm":
        return this.#ofProduct(first, second, [first[0] ?? 0, second[1] ?? 0], false);
      case "bmm":
        return "crops";
      case "gelu":
      case "gelu_backward":
        return "GELU, both ways";
      case "native_layer_norm":
      case "native_layer_norm_backward":
      case "layer_norm":
        return "LayerNorm and residuals, both ways";
      case "sum":
        return first.length === 2 ? "linear layers, bias gradients" : "the rest";
      case "add":
      case "add_":
        return third.length === 0 && first.length === 3 ? "LayerNorm and residuals, both ways" : "the rest";
      case "copy_":
      case "cat":
      case "index":
      case "index_select":
      case "stack":
      case "fill_":
      case "zero_":
        return "moving elements";
      default:
        if (/scaled_dot_product|flash_attention/.test(name)) return "attention, products and softmax";
        if (/adamw|foreach|linalg_vector_norm|Optimizer/i.test(name)) return "AdamW and clipping";
        return "the rest";
    }
  }

  #ofProduct(a: Shape, b: Shape, output: Shape, withBias: boolean): Place {
    if (output.length === 4) return "attention, products and softmax";
    if (output.length === 3) return "crops";
    if (withBias) return "linear layers, forward";
    // a^T b over the rows of both, or the same already transposed: what comes out has a weight's shape.
    const inner = a[0] === output[0] ? a[1] : a[0];
    const isWeight =
      this.#matrices.has(output.join()) && !this.#matrices.has(b.join()) && inner !== undefined;
    return isWeight ? "linear layers, weight gradients" : "linear layers, input gradients";
  }

  /** Attention's tensors have four axes, and so have images. */
  #ofRankFour(op: string, first: Shape, output: Shape): Place {
    const [, , , channels = 0] = first.length === 4 ? first : output;
    return channels > 4 || ATTENTION.test(op) ? "attention, products and softmax" : "the rest";
  }

  #ofTokens(shape: Shape): Place {
    if (shape.length < 2) return "the rest";
    return this.#hidden.includes(shape.at(-1) ?? 0)
      ? "GELU, both ways"
      : "LayerNorm and residuals, both ways";
  }
}
