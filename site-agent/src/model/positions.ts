/**
 * Fixed 2-D sin-cos positions (He et al. 2022, appendix A.1; `get_2d_sincos_pos_embed` of facebookresearch/mae). They are
 * constants of the graph, neither weights nor uploaded, so sites may differ in their grids.
 */

const LONGEST_WAVE = 10_000;

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
