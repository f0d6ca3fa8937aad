/** What is drawn of a case: an image as it is; of a volume a slice through each of the body's three planes. */
import type { Case, CaseShapes, Saliency } from "../types.ts";

export interface Picture {
  /** The plane; null for images. */
  readonly plane: "axial" | "coronal" | "sagittal" | null;
  readonly columns: number;
  readonly rows: number;
  /** Of a pixel, its width being 1. */
  readonly pixelHeight: number;
  readonly pixels: Uint8Array;
  /** The same part of what lies like the image or volume. */
  readonly cut: (values: Uint8Array) => Uint8Array;
}

/**
 * Volumes lie from the feet up, from front to back and from right to left, and are shown as radiologists do: head or front on
 * top, the patient's right on the left. Of masks it is the slices on which they differ most; else the middle ones, and the most
 * telling one across.
 */
export function picturesOf(each: Case): readonly Picture[] {
  const { sizePx, depthPx, sliceStep, pixels } = each;
  if (depthPx === 1) {
    const whole = (values: Uint8Array): Uint8Array => values;
    return [{ plane: null, columns: sizePx, rows: sizePx, pixelHeight: 1, pixels, cut: whole }];
  }
  const [slice, row, column] = sliceNumbers(each);
  const picture = (
    plane: Picture["plane"],
    rows: number,
    pixelHeight: number,
    place: (down: number, across: number) => number,
  ): Picture => {
    const cut = (values: Uint8Array): Uint8Array =>
      Uint8Array.from(
        { length: rows * sizePx },
        (_, i) => values[place(Math.floor(i / sizePx), i % sizePx)] ?? 0,
      );
    return { plane, columns: sizePx, rows, pixelHeight, pixels: cut(pixels), cut };
  };
  const at = (z: number, y: number, x: number): number => (z * sizePx + y) * sizePx + x;
  return [
    picture("axial", sizePx, 1, (down, across) => at(slice, down, across)),
    picture("coronal", depthPx, sliceStep, (down, across) => at(depthPx - 1 - down, row, across)),
    picture("sagittal", depthPx, sliceStep, (down, across) => at(depthPx - 1 - down, across, column)),
  ];
}

/** The layer of patches that moved the network most, for or against: its number, and its part of the map. */
export function tellingLayer({ grid, layers, values }: Saliency): {
  readonly layer: number;
  readonly map: Float32Array;
} {
  const parts = Array.from({ length: layers }, (_, layer) => {
    const map = values.subarray(layer * grid ** 2, (layer + 1) * grid ** 2);
    return { layer, map, weight: map.reduce((sum, value) => sum + Math.abs(value), 0) };
  });
  return parts.reduce((best, part) => (part.weight > best.weight ? part : best));
}

/** Number of the slice, row and column through which the planes go. */
function sliceNumbers({
  sizePx,
  depthPx,
  shapes,
}: Case): readonly [slice: number, row: number, column: number] {
  const middle = [depthPx >> 1, sizePx >> 1, sizePx >> 1] as const;
  if (shapes.kind === "masks") {
    const counts = [new Float64Array(depthPx), new Float64Array(sizePx), new Float64Array(sizePx)] as const;
    countPlaces(shapes, sizePx, counts);
    const most = (axis: 0 | 1 | 2): number => {
      const best = Math.max(...counts[axis]);
      return best === 0 ? middle[axis] : counts[axis].indexOf(best);
    };
    return [most(0), most(1), most(2)];
  }
  if (!("saliency" in shapes) || shapes.saliency === null) return middle;
  const { layer } = tellingLayer(shapes.saliency);
  return [Math.floor(((layer + 0.5) * depthPx) / shapes.saliency.layers), middle[1], middle[2]];
}

/** Of each slice, row and column how many voxels the masks differ in; those in which they agree count for little. */
function countPlaces(
  { said, truth }: Extract<CaseShapes, { readonly kind: "masks" }>,
  sizePx: number,
  [slices, rows, columns]: readonly [Float64Array, Float64Array, Float64Array],
): void {
  for (const [c, mask] of said.entries()) {
    for (const [voxel, inside] of mask.entries()) {
      const labelled = truth[c]?.[voxel] ?? 0;
      if (inside === 0 && labelled === 0) continue;
      const weight = inside === labelled ? 1e-3 : 1;
      const [z, y, x] = [
        Math.floor(voxel / sizePx ** 2),
        Math.floor(voxel / sizePx) % sizePx,
        voxel % sizePx,
      ];
      slices[z] = (slices[z] ?? 0) + weight;
      rows[y] = (rows[y] ?? 0) + weight;
      columns[x] = (columns[x] ?? 0) + weight;
    }
  }
}
