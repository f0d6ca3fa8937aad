/**
 * Random resized crop and flip as two small matrices an image, so that the augmentation itself runs in the compiled
 * step: `rows . image . columns^T`. Each matrix row holds the weights of one output pixel over the source pixels.
 */
import type { Random } from "./random.ts";

/** A rectangle of the source image in pixels; borders may fall between pixels. */
export interface Crop {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  /** Mirrored left to right. */
  readonly flip: boolean;
  /** Evenly, unless given. */
  readonly stretch?: { readonly down: Stretch; readonly across: Stretch };
}

/**
 * Uneven stretching of one axis: place t of 0 to 1 shows t + bow sin(pi t) / pi + sway sin(2 pi t) / (2 pi). The ends stay, and
 * the order too if |bow| + |sway| < 1.
 */
export interface Stretch {
  readonly bow: number;
  readonly sway: number;
}

export interface CropOptions {
  /** Share of the image's area that is kept, at least and at most. */
  readonly cropMinArea: number;
  readonly cropMaxArea: number;
  /** Mirrors every second image, by chance. */
  readonly flip: boolean;
  /** Largest bow and largest sway of either axis, less than one half; none unless given. */
  readonly stretchMax?: number;
}

export interface CropMatrices {
  /** [crops, targetPx, sourcePx] */
  readonly rows: Float32Array;
  /** [crops, targetPx, sourcePx] */
  readonly columns: Float32Array;
}

const EVEN: Stretch = { bow: 0, sway: 0 };
const MAX_ASPECT = 4 / 3;
const ATTEMPTS = 10;

/** The whole image, as it is seen in evaluation. */
export function wholeImage(sizePx: number): Crop {
  return { top: 0, left: 0, height: sizePx, width: sizePx, flip: false };
}

/** Area uniform, aspect ratio log-uniform in 3/4 .. 4/3, place uniform (Szegedy et al. 2015, as in torchvision). */
export function randomCrop(
  sizePx: number,
  { cropMinArea, cropMaxArea, flip, stretchMax = 0 }: CropOptions,
  random: Random,
): Crop {
  const mirrored = flip && random.uniform() < 0.5;
  const stretch = stretchMax === 0 ? {} : { stretch: randomStretch(stretchMax, random) };
  const maxLogAspect = Math.log(MAX_ASPECT);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const area = cropMinArea + (cropMaxArea - cropMinArea) * random.uniform();
    const aspect = Math.exp((2 * random.uniform() - 1) * maxLogAspect);
    const width = sizePx * Math.sqrt(area * aspect);
    const height = sizePx * Math.sqrt(area / aspect);
    if (width > sizePx || height > sizePx || width < 1 || height < 1) continue;
    const left = (sizePx - width) * random.uniform();
    const top = (sizePx - height) * random.uniform();
    return { top, left, height, width, flip: mirrored, ...stretch };
  }
  return { ...wholeImage(sizePx), flip: mirrored, ...stretch };
}

function randomStretch(max: number, random: Random): Required<Crop>["stretch"] {
  const axis = (): Stretch => ({
    bow: max * (2 * random.uniform() - 1),
    sway: max * (2 * random.uniform() - 1),
  });
  return { down: axis(), across: axis() };
}

/** The matrices of a batch, one crop an image. */
export function cropMatrices(crops: readonly Crop[], sourcePx: number, targetPx: number): CropMatrices {
  const stride = targetPx * sourcePx;
  const rows = new Float32Array(crops.length * stride);
  const columns = new Float32Array(crops.length * stride);
  for (const [i, { top, left, height, width, flip, stretch }] of crops.entries()) {
    const part = [i * stride, (i + 1) * stride] as const;
    const sizes = { sourcePx, targetPx };
    const down = { start: top, length: height, reversed: false, stretch: stretch?.down };
    interpolate(rows.subarray(...part), { ...sizes, ...down });
    const across = { start: left, length: width, reversed: flip, stretch: stretch?.across };
    interpolate(columns.subarray(...part), { ...sizes, ...across });
  }
  return { rows, columns };
}

export interface Axis {
  readonly start: number;
  readonly length: number;
  readonly reversed: boolean;
  readonly sourcePx: number;
  readonly targetPx: number;
  readonly stretch?: Stretch | undefined;
}

/**
 * Writes [targetPx, sourcePx]. Bilinear when enlarging; when shrinking the triangle widens with the scale, so that it
 * averages over all it covers (what PIL does, and torchvision with antialias). Every row sums to 1.
 */
export function interpolate(out: Float32Array, axis: Axis): void {
  const { start, length, reversed, sourcePx, targetPx, stretch: { bow, sway } = EVEN } = axis;
  for (let target = 0; target < targetPx; target++) {
    const place = (target + 0.5) / targetPx;
    const angle = Math.PI * place;
    const shown = place + (bow * Math.sin(angle) + (sway / 2) * Math.sin(2 * angle)) / Math.PI;
    const scale = (length / targetPx) * (1 + bow * Math.cos(angle) + sway * Math.cos(2 * angle));
    const support = Math.max(1, scale);
    const centre = start + shown * length;
    const first = Math.max(0, Math.ceil(centre - support - 0.5));
    const last = Math.min(sourcePx - 1, Math.floor(centre + support - 0.5));
    const at = (reversed ? targetPx - 1 - target : target) * sourcePx;
    let sum = 0;
    for (let source = first; source <= last; source++) {
      sum += Math.max(0, 1 - Math.abs(source + 0.5 - centre) / support);
    }
    for (let source = first; source <= last; source++) {
      out[at + source] = Math.max(0, 1 - Math.abs(source + 0.5 - centre) / support) / sum;
    }
  }
}
