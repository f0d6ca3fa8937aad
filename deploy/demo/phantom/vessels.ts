/** The pulmonary vessels: two trees that branch outwards from the hila and taper. */
import { Random } from "../../../site-agent/src/dataset/random.ts";
import type { Field } from "./noise.ts";

interface Branch {
  readonly u: number;
  readonly v: number;
  readonly heading: number;
  readonly halfWidth: number;
  readonly generation: number;
}

const STEP = 0.012;
const GENERATIONS = 4;

/**
 * @param gridPx side of the grid that holds the trees, which cover u and v from -1 to 1
 * @returns relative thickness at a point, 0 to about 1
 */
export function drawVessels(seed: number, gridPx: number): Field {
  const random = new Random(seed);
  const grid = new Float32Array(gridPx * gridPx);
  const branches: Branch[] = [];
  for (const side of [-1, 1]) {
    const trunks = 8 + random.below(4);
    for (let i = 0; i < trunks; i++) {
      const spread = -1.25 + (2.5 * (i + random.uniform())) / trunks;
      branches.push({
        u: side * (0.17 + 0.03 * random.uniform()),
        v: -0.02 + 0.14 * (i / trunks - 0.5),
        heading: side > 0 ? spread : Math.PI - spread,
        halfWidth: 0.013 + 0.007 * random.uniform(),
        generation: 0,
      });
    }
  }
  for (let branch = branches.pop(); branch !== undefined; branch = branches.pop()) {
    branches.push(...grow(branch, random, grid, gridPx));
  }
  return (u, v) => sample(grid, gridPx, u, v);
}

/** Draws one branch and returns its two children. */
function grow(branch: Branch, random: Random, grid: Float32Array, gridPx: number): Branch[] {
  const steps = 8 + random.below(12);
  let { u, v, heading } = branch;
  let { halfWidth } = branch;
  for (let i = 0; i < steps; i++) {
    heading += 0.12 * random.normal();
    u += STEP * Math.cos(heading);
    v += STEP * Math.sin(heading);
    halfWidth *= 0.985;
    stamp(grid, gridPx, u, v, halfWidth);
  }
  if (branch.generation + 1 >= GENERATIONS) return [];
  const fork = 0.25 + 0.3 * random.uniform();
  return [fork, -fork].map((turn) => ({
    u,
    v,
    heading: heading + turn,
    halfWidth: halfWidth * 0.8,
    generation: branch.generation + 1,
  }));
}

/** A soft disc; overlapping discs of one vessel do not add up. */
function stamp(grid: Float32Array, gridPx: number, u: number, v: number, halfWidth: number): void {
  const scale = gridPx / 2;
  const x = (u + 1) * scale - 0.5;
  const y = (v + 1) * scale - 0.5;
  const radius = halfWidth * scale;
  const reach = radius + 1;
  // A vessel thinner than a cell still darkens it, in proportion.
  const height = Math.min(1, halfWidth / 0.014);
  for (let row = Math.ceil(y - reach); row <= y + reach; row++) {
    for (let column = Math.ceil(x - reach); column <= x + reach; column++) {
      if (row < 0 || column < 0 || row >= gridPx || column >= gridPx) continue;
      const cover = Math.min(1, Math.max(0, radius + 0.7 - Math.sqrt((column - x) ** 2 + (row - y) ** 2)));
      const index = row * gridPx + column;
      grid[index] = Math.max(grid[index] ?? 0, height * cover);
    }
  }
}

function sample(grid: Float32Array, gridPx: number, u: number, v: number): number {
  const x = ((u + 1) * gridPx) / 2 - 0.5;
  const y = ((v + 1) * gridPx) / 2 - 0.5;
  const column = Math.floor(x);
  const row = Math.floor(y);
  if (column < 0 || row < 0 || column + 1 >= gridPx || row + 1 >= gridPx) return 0;
  const tx = x - column;
  const ty = y - row;
  const start = row * gridPx + column;
  const top = (grid[start] ?? 0) * (1 - tx) + (grid[start + 1] ?? 0) * tx;
  const bottom = (grid[start + gridPx] ?? 0) * (1 - tx) + (grid[start + gridPx + 1] ?? 0) * tx;
  return top * (1 - ty) + bottom * ty;
}
