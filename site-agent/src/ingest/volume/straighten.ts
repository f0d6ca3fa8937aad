/** Slices of a tilted gantry: each is moved within its plane until all lie straight above each other. */

/**
 * Where the shifted slice has nothing, its lowest value stands: air in CT.
 * @param plane rows x columns values
 * @param shift rows and columns by which the slice lies off; parts of a pixel are interpolated linearly
 * @returns the same slice on the places of one that lies straight
 */
export function straighten(
  plane: Float32Array,
  rows: number,
  columns: number,
  [byRows, byColumns]: readonly [rows: number, columns: number],
): Float32Array {
  const lowest = plane.reduce((least, value) => Math.min(least, value), Infinity);
  return shiftAlong(shiftAlong(plane, columns, 1, byColumns, lowest), rows, columns, byRows, lowest);
}

/** Moves values along an axis of `count` places, `stride` apart, of however many lines there are. */
function shiftAlong(
  values: Float32Array,
  count: number,
  stride: number,
  by: number,
  outside: number,
): Float32Array {
  if (by === 0) return values;
  const whole = Math.floor(-by);
  const share = -by - whole;
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const place = Math.floor(i / stride) % count;
    const from = place + whole;
    const low = from >= 0 && from < count ? (values[i + whole * stride] ?? outside) : outside;
    const high = from + 1 >= 0 && from + 1 < count ? (values[i + (whole + 1) * stride] ?? outside) : outside;
    out[i] = share === 0 ? low : low + (high - low) * share;
  }
  return out;
}
