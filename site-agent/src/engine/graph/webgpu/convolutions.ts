/** Transposed convolutions. */
import { ConsiliumError } from "@consilium/shared/errors";
import { int, intAttribute } from "../ir.ts";
import type { Rule } from "../passes/rewrite.ts";
import { withLength } from "../shapes.ts";

const PLANAR_RANK = 4;

export const convolutionRules: Readonly<Record<string, Rule>> = {
  /**
   * ONNX Runtime 1.30 computes it wrongly in groups of several input channels, and refuses volumes when they are run. A
   * dense filter that is 0 between the groups means the same.
   */
  ConvTranspose: (node, { graph }) => {
    const [x, filter, ...bias] = node.inputs;
    const [output] = node.outputs;
    if (x === undefined || filter === undefined || output === undefined) return null;
    if (x.shape.length > PLANAR_RANK) {
      throw new ConsiliumError("engine.unsupported-op", {
        detail: "(WebGPU has no transposed convolution of volumes, which the gradient of conv3d is, too)",
        culprits: ["ConvTranspose"],
      });
    }
    const groups = intAttribute(node, "group", 1);
    const [channels = 1, perGroup = 1] = filter.shape;
    if (groups === 1 || channels === groups) return null;
    const shape = withLength(filter.shape, 1, perGroup * groups);
    const tiled = graph.emit(
      "Tile",
      [filter, graph.indices(filter.shape.map((_, axis) => (axis === 1 ? groups : 1)))],
      {
        shape,
        dtype: filter.dtype,
      },
    );
    const mask = graph.constant(sameGroup(channels, perGroup * groups, groups), {
      shape: shape.map((length, axis) => (axis < 2 ? length : 1)),
      dtype: filter.dtype,
    });
    const dense = graph.emit("Mul", [tiled, mask], { shape, dtype: filter.dtype });
    return [
      graph.emit("ConvTranspose", [x, dense, ...bias], output, {
        attributes: { ...node.attributes, group: int(1) },
      }),
    ];
  },
};

/** [channels, results]: 1 where both are in the same of the groups. */
function sameGroup(channels: number, results: number, groups: number): Float32Array {
  const groupOf = (index: number, length: number): number => Math.floor((index * groups) / length);
  return Float32Array.from({ length: channels * results }, (_, i) =>
    groupOf(Math.floor(i / results), channels) === groupOf(i % results, results) ? 1 : 0,
  );
}
