/**
 * Operations that TF.js does not have and ONNX Runtime does in one pass. `engine/nn.ts` calls them by these
 * names while tracing; on other backends it writes the same with plain operations.
 */
import { float, int } from "../graph/ir.ts";
import { withLength } from "../graph/shapes.ts";
import { matMul } from "./matmul.ts";
import { kernel, type Inputs, type TracedKernel } from "./kernel.ts";

export const FUSED_LAYER_NORM = "ConsiliumLayerNorm";
export const FUSED_AFFINE = "ConsiliumAffine";
export const FUSED_GELU = "ConsiliumGelu";

export const fusedKernels: readonly TracedKernel[] = [
  /** Normalises the last axis; also returns mean and 1 / standard deviation, [.., 1]. */
  kernel(
    FUSED_LAYER_NORM,
    (graph, { x, gain, bias }: Inputs<"x" | "gain" | "bias">, { epsilon }: { readonly epsilon: number }) => {
      const statistics = { shape: withLength(x.shape, x.shape.length - 1, 1), dtype: x.dtype };
      return graph.emitMany("LayerNormalization", [x, gain, bias], [x, statistics, statistics], {
        attributes: { axis: int(-1), epsilon: float(epsilon) },
      });
    },
  ),
  /** x * Phi(x), exact. */
  kernel(FUSED_GELU, (graph, { x }: Inputs<"x">) => graph.emit("Gelu", [x], x, { domain: "com.microsoft" })),
  /** x [rows, in] W [in, out] + b [out]. */
  kernel(FUSED_AFFINE, (graph, { x, weight, bias }: Inputs<"x" | "weight" | "bias">) =>
    matMul(graph, x, weight, false, false, bias),
  ),
];
