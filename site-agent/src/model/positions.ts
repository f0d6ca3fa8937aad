/**
 * Fixed sin-cos positions (He et al. 2022, appendix A.1; `get_2d_sincos_pos_embed` of facebookresearch/mae). They are
 * constants of the graph, neither weights nor uploaded, so sites may differ in their grids.
 */

const LONGEST_WAVE = 10_000;

/**
 * The same in three dimensions: a third of the width each for column, row and layer, and zeros where 6 does not divide it.
 * @param depth layers of patches
 * @param grid patches along one side of a layer
 * @returns [depth * grid^2, width], layer by layer, row by row
 */
export function sinCosVolumePositions(depth: number, grid: number, width: number): Float32Array {
  const waves = Math.floor(width / 6);
  const positions = new Float32Array(depth * grid * grid * width);
  for (let patch = 0; patch < depth * grid * grid; patch++) {
    const place = [patch % grid, Math.floor(patch / grid) % grid, Math.floor(patch / grid ** 2)];
    for (const [axis, coordinate] of place.entries()) {
      for (let i = 0; i < waves; i++) {
        const angle = coordinate * LONGEST_WAVE ** (-i / waves);
        const at = patch * width + 2 * waves * axis + i;
        positions[at] = Math.sin(angle);
        positions[at + waves] = Math.cos(angle);
      }
    }
  }
  return positions;
}

/**
 * @param grid patches along one side
 * @param width a multiple of 4
 * @returns [grid^2, width], patches row by row. The first half of a row encodes the column, the second half the row.
 */
export function sinCosPositions(grid: number, width: number): Float32Array {
  const quarter = width / 4;
  const positions = new Float32Array(grid * grid * width);
  for (let patch = 0; patch < grid * grid; patch++) {
    const row = Math.floor(patch / grid);
    const column = patch % grid;
    for (let i = 0; i < quarter; i++) {
      const frequency = LONGEST_WAVE ** (-i / quarter);
      const at = patch * width + i;
      positions[at] = Math.sin(column * frequency);
      positions[at + quarter] = Math.cos(column * frequency);
      positions[at + 2 * quarter] = Math.sin(row * frequency);
      positions[at + 3 * quarter] = Math.cos(row * frequency);
    }
  }
  return positions;
}
