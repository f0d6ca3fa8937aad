/** From boxes to what each token should say. */
import { gridSize, patchCount, type VitConfig } from "../../model/sizes.ts";
import { area, type Target } from "./rectangles.ts";

export interface TargetArrays {
  /** [L, C] */
  readonly heat: Float32Array;
  /** [L, 4] */
  readonly boxes: Float32Array;
  /** [L] */
  readonly nearness: Float32Array;
}

/** Standard deviation of the heat around a centre, as a share of the box's side (a sixth, as in CenterNet). */
const HEAT_SHARE = 1 / 6;
/** Heat below this is none. */
const LEAST_HEAT = 0.05;

/**
 * Each box is 1 at the patch that holds its centre and falls off around it, the faster the smaller the box. A token that is
 * near two boxes learns the nearer one, or the smaller one at the same nearness.
 * @param targets in pixels of the view
 */
export function targetsOf(targets: readonly Target[], config: VitConfig, classes: number): TargetArrays {
  const grid = gridSize(config);
  const { patchPx } = config;
  const heat = new Float32Array(patchCount(config) * classes);
  const boxes = new Float32Array(patchCount(config) * 4);
  const nearness = new Float32Array(patchCount(config));
  // The largest first, so that a smaller box takes the token from it.
  for (const target of targets.toSorted((a, b) => area(b) - area(a))) {
    const { left, top, right, bottom } = target;
    const column = patchAt((left + right) / 2, patchPx, grid);
    const row = patchAt((top + bottom) / 2, patchPx, grid);
    const acrossPatches = (HEAT_SHARE * (right - left)) / patchPx;
    const downPatches = (HEAT_SHARE * (bottom - top)) / patchPx;
    for (let y = 0; y < grid; y++) {
      for (let x = 0; x < grid; x++) {
        const isCentre = y === row && x === column;
        const distance = ((x - column) / acrossPatches) ** 2 + ((y - row) / downPatches) ** 2;
        const near = isCentre ? 1 : Math.exp(-distance / 2);
        if (!(near >= LEAST_HEAT)) continue;
        const at = y * grid + x;
        const heatAt = at * classes + target.class;
        heat[heatAt] = Math.max(heat[heatAt] ?? 0, near);
        if (near < (nearness[at] ?? 0)) continue;
        nearness[at] = near;
        boxes.set([left, top, right, bottom], 4 * at);
      }
    }
  }
  return { heat, boxes, nearness };
}

const patchAt = (position: number, patchPx: number, grid: number): number =>
  Math.min(grid - 1, Math.max(0, Math.floor(position / patchPx)));
