/** From path lengths to stored pixel values: the beam, the detector and each vendor's processing. */
import type { Random } from "../../../site-agent/src/dataset/random.ts";
import type { Pose } from "./anatomy.ts";
import { smoothstep } from "./noise.ts";
import type { Projection } from "./thorax.ts";

/** What makes one vendor's pictures look unlike another's. */
export interface Look {
  readonly gamma: number;
  /** Steepness of the display curve about its middle; 1 is a straight line. */
  readonly contrast: number;
  /** Standard deviation of the detector's noise behind the trunk's middle, in path lengths. */
  readonly noise: number;
  /** Size of the grain in pixels: 0 is white noise. */
  readonly grainPx: number;
  /** Unsharp masking: how much of the fine detail is added once more. */
  readonly sharpening: number;
  /** How much a long path is flattened by a beam that hardens on its way. */
  readonly hardening: number;
  /** Largest width of the collimator's dark frame, as a share of the picture's side. */
  readonly collimation: number;
  /** Height of the low-frequency shading. */
  readonly shading: number;
}

/** Path length that is shown white, at an average exposure. */
const WHITE = 1.6;

/** Bone bright, air dark, 0 to 1, row-major. */
export function expose(projection: Projection, look: Look, pose: Pose, random: Random): Float32Array {
  const { rows, columns, path } = projection;
  const grain = grainOf(rows, columns, look.grainPx, random);
  const tilt = 2 * Math.PI * random.uniform();
  const [acrossX, acrossY] = [2 * Math.cos(tilt), 2 * Math.sin(tilt)];
  const phase = 2 * Math.PI * random.uniform();
  const film = new Float32Array(rows * columns);
  for (let index = 0; index < film.length; index++) {
    const length = (path[index] ?? 0) / pose.exposure;
    const hardened = length / (1 + look.hardening * length);
    // Fewer quanta come through more tissue, so its logarithm is noisier (Poisson).
    const sigma = (look.noise / Math.sqrt(pose.dose)) * Math.exp(0.8 * (length - 0.7));
    const x = (index % columns) / columns;
    const y = Math.floor(index / columns) / rows;
    const shading = look.shading * Math.sin(acrossX * x + acrossY * y + phase);
    film[index] = hardened * (1 + shading) + sigma * (grain[index] ?? 0);
  }
  if (look.sharpening > 0) sharpen(film, rows, columns, look.sharpening);
  const white = WHITE / (1 + look.hardening * WHITE);
  for (let index = 0; index < film.length; index++) film[index] = display((film[index] ?? 0) / white, look);
  collimate(film, rows, columns, look.collimation, random);
  return film;
}

function display(value: number, { gamma, contrast }: Look): number {
  const level = Math.min(1, Math.max(0, value)) ** gamma;
  const curve = (sigmoid(level) - SIGMOID_AT_0) / (1 - 2 * SIGMOID_AT_0);
  return level + (contrast - 1) * (curve - level);
}

// Not a closure inside display(): it runs for every pixel.
function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-4 * (x - 0.5)));
}
const SIGMOID_AT_0 = sigmoid(0);

/** Standard normal noise, smoothed to the grain's size and scaled back to unit variance. */
function grainOf(rows: number, columns: number, grainPx: number, random: Random): Float32Array {
  const noise = Float32Array.from({ length: rows * columns }, () => approximateNormal(random));
  if (grainPx <= 0) return noise;
  // Two neighbours of weight w each: variance (1 + 2 w^2) / (1 + 2 w)^2 along each axis.
  const w = Math.min(1, grainPx);
  const kernel = [w / (1 + 2 * w), 1 / (1 + 2 * w)] as const;
  const scale = (1 + 2 * w) ** 2 / (1 + 2 * w * w);
  blur(noise, rows, columns, kernel);
  for (let i = 0; i < noise.length; i++) noise[i] = (noise[i] ?? 0) * scale;
  return noise;
}

/** Sum of four uniforms: close enough for grain and several times faster than a logarithm and a cosine. */
function approximateNormal(random: Random): number {
  const a = random.uint32();
  const b = random.uint32();
  const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
  return (sum / 65_535 - 2) * Math.sqrt(3);
}

/** Three taps along each axis, in place; the border repeats. */
function blur(
  image: Float32Array,
  rows: number,
  columns: number,
  [side, middle]: readonly [number, number],
): void {
  for (const [lines, line, length, step] of [
    [rows, columns, columns, 1],
    [columns, 1, rows, columns],
  ] as const) {
    for (let i = 0; i < lines; i++) {
      const start = i * line;
      let before = image[start] ?? 0;
      for (let j = 0; j < length; j++) {
        const at = start + j * step;
        const here = image[at] ?? 0;
        const after = j + 1 < length ? (image[at + step] ?? 0) : here;
        image[at] = side * (before + after) + middle * here;
        before = here;
      }
    }
  }
}

function sharpen(image: Float32Array, rows: number, columns: number, amount: number): void {
  const smooth = image.slice();
  for (let i = 0; i < 3; i++) blur(smooth, rows, columns, [1 / 3, 1 / 3]);
  for (let i = 0; i < image.length; i++) {
    const value = image[i] ?? 0;
    image[i] = value + amount * (value - (smooth[i] ?? 0));
  }
}

/** The blades' shadow: a frame of uneven width, sometimes with one side open. */
function collimate(film: Float32Array, rows: number, columns: number, width: number, random: Random): void {
  if (width <= 0) return;
  const blade = (side: number): number => (random.uniform() < 0.3 ? -2 : side * width * random.uniform());
  const [left, right, top, bottom] = [blade(columns), blade(columns), blade(rows), blade(rows)];
  for (let row = 0; row < rows; row++) {
    const vertical = Math.min(row + 1 - top, rows - row - bottom);
    for (let column = 0; column < columns; column++) {
      const inside = Math.min(vertical, column + 1 - left, columns - column - right);
      if (inside < 1.5) {
        const index = row * columns + column;
        film[index] = (film[index] ?? 0) * smoothstep(-0.5, 1.5, inside);
      }
    }
  }
}
