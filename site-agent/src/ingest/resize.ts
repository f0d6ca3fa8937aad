/**
 * Area resampling: each pixel of the result is the mean of the part of the image that it covers, so the mean of the whole
 * is kept exactly, and nothing rings or aliases.
 */

export interface GreyImage {
  readonly rows: number;
  readonly columns: number;
  /** Row-major. */
  readonly values: Float32Array;
}

/** Where an image lies in the square that it was fitted into. */
export interface Placement {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The largest placement with the image's proportions, centred in a square of sizePx. */
export function placeInSquare(rows: number, columns: number, sizePx: number): Placement {
  const longest = Math.max(rows, columns);
  const width = Math.max(1, Math.round((columns * sizePx) / longest));
  const height = Math.max(1, Math.round((rows * sizePx) / longest));
  return { left: (sizePx - width) >> 1, top: (sizePx - height) >> 1, width, height };
}

/** Fits each channel into a square, one after the other. Channels that are one object are resampled once. */
export function fitChannels(channels: readonly GreyImage[], sizePx: number): Uint8Array {
  const out = new Uint8Array(channels.length * sizePx ** 2);
  for (const [i, channel] of channels.entries()) {
    const earlier = channels.findIndex(({ values }) => values === channel.values);
    const at = earlier * sizePx ** 2;
    out.set(earlier < i ? out.subarray(at, at + sizePx ** 2) : fitToSquare(channel, sizePx), i * sizePx ** 2);
  }
  return out;
}

/** Fits the image into a square and fills the rest with 0. @returns sizePx^2 bytes, values rounded and kept in 0 .. 255 */
export function fitToSquare(image: GreyImage, sizePx: number): Uint8Array {
  const { left, top, width, height } = placeInSquare(image.rows, image.columns, sizePx);
  const { values } = resizeArea(image, height, width);
  const out = new Uint8Array(sizePx ** 2);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = Math.round(values[y * width + x] ?? 0);
      out[(top + y) * sizePx + left + x] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
  }
  return out;
}

/** Resamples along columns, then along rows. */
export function resizeArea({ rows, columns, values }: GreyImage, height: number, width: number): GreyImage {
  const across = coverage(columns, width);
  const down = coverage(rows, height);
  const result = new Float32Array(height * width);
  const line = new Float64Array(width);
  const sums = new Float64Array(width);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    const first = down.first[y] ?? 0;
    for (let k = 0; k < (down.count[y] ?? 0); k++) {
      const weight = down.weights[(down.start[y] ?? 0) + k] ?? 0;
      shrinkLine(values, (first + k) * columns, across, line);
      for (let x = 0; x < width; x++) sums[x] = (sums[x] ?? 0) + weight * (line[x] ?? 0);
    }
    result.set(sums, y * width);
  }
  return { rows: height, columns: width, values: result };
}

function shrinkLine(
  values: Float32Array,
  offset: number,
  { first, count, start, weights }: Coverage,
  line: Float64Array,
): void {
  for (let x = 0; x < line.length; x++) {
    let sum = 0;
    const from = offset + (first[x] ?? 0);
    const at = start[x] ?? 0;
    const n = count[x] ?? 0;
    for (let k = 0; k < n; k++) sum += (weights[at + k] ?? 0) * (values[from + k] ?? 0);
    line[x] = sum;
  }
}

/** For each place of the result: the first source place that it covers, how many, and the share of each. */
interface Coverage {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly start: Int32Array;
  readonly weights: Float64Array;
}

function coverage(from: number, to: number): Coverage {
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const start = new Int32Array(to);
  const weights: number[] = [];
  for (let i = 0; i < to; i++) {
    // Exact in integers: result place i covers source i * from .. (i + 1) * from, in units of 1 / to.
    const begin = i * from;
    const end = begin + from;
    const low = Math.floor(begin / to);
    const high = Math.ceil(end / to);
    first[i] = low;
    count[i] = high - low;
    start[i] = weights.length;
    for (let k = low; k < high; k++)
      weights.push((Math.min(end, (k + 1) * to) - Math.max(begin, k * to)) / from);
  }
  return { first, count, start, weights: Float64Array.from(weights) };
}

/** Two neighbours and the second one's share: bilinear interpolation along one axis. */
export interface Between {
  readonly low: number;
  readonly high: number;
  readonly share: number;
}

/** Where the centre of pixel `i` of `to` lies among the centres of `from` pixels of the same length. */
export function centreAmong(i: number, to: number, from: number): Between {
  const exact = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
  const low = Math.floor(exact);
  return { low, high: Math.min(from - 1, low + 1), share: exact - low };
}

/** The value between four neighbours. */
export function bilinear(at: (y: number, x: number) => number, down: Between, across: Between): number {
  const along = (y: number): number =>
    (1 - across.share) * at(y, across.low) + across.share * at(y, across.high);
  return (1 - down.share) * along(down.low) + down.share * along(down.high);
}
