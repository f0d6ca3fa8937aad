/**
 * Operations that TF.js does not have and ONNX Runtime does in one pass. `engine/nn.ts` calls them by these
 * names while tracing; on other backends it writes the same with plain operations.
 */
import { float, int } from "../graph/ir.ts";
import { kernel, withLength, type TracedKernel } from "./kernel.ts";

export const FUSED_LAYER_NORM = "ConsiliumLayerNorm";
export const FUSED_GELU = "ConsiliumGelu";

export const fusedKernels: readonly TracedKernel[] = [
  /** Normalises the last axis; also returns mean and 1 / standard deviation, [.., 1]. */
  kernel<"x" | "gain" | "bias", { readonly epsilon: number }>(
    FUSED_LAYER_NORM,
    (graph, { x, gain, bias }, { epsilon }) => {
      const statistics = { shape: withLength(x.shape, x.shape.length - 1, 1), dtype: x.dtype };
      return graph.emitMany("LayerNormalization", [x, gain, bias], [x, statistics, statistics], {
        attributes: { axis: int(-1), epsilon: float(epsilon) },
      });
    },
  ),
  /** x * Phi(x), exact. */
  kernel<"x">(FUSED_GELU, (graph, { x }) => graph.emit("Gelu", [x], x)),
];
