/**
 * How well a linear head on the encoder's patches, fitted to a site's own masks, finds the masks of patients that it was not
 * fitted on, interpolated up to the grid of the common evaluation (as Oquab et al. 2023, section 7.4). The head stays here;
 * what leaves are counts of cells, in a masked sum.
 */
import { overlapOf } from "@consilium/shared/evaluation/dice";
import { MASK_GRID, type SiteOverlaps } from "@consilium/shared/evaluation/mask-extras";
import { Random } from "../dataset/random.ts";
import { TEST_SPLIT_SEED } from "../dataset/splits.ts";
import { bilinear, centreAmong, resizeArea } from "../ingest/resize.ts";
import { probeParts } from "./label-scores.ts";
import { LOGISTIC_DEFAULTS } from "./logistic.ts";
import { column } from "./metrics.ts";
import { probe } from "./probe.ts";

export interface MaskedTokens {
  readonly patient: string;
  /** Of the patches of the whole image, [side^2, D]. */
  readonly tokens: Float32Array;
  /** For each class the cached square's coverage, 0 to 255, [sizePx^2]. */
  readonly masks: readonly Uint8Array[];
}

/** Images of a part below which Dice means nothing. */
export const FEWEST_MASKED = 8;
/** That teach a head, drawn from all images: more of them cost time and say little. */
const MOST_TOKENS = 2048;
const HALF = 127.5;

/**
 * The other patients teach a head for each class, which answers for those who are asked.
 * @param side patches each way
 * @returns null where there are too few
 */
export function maskOverlaps(
  images: readonly MaskedTokens[],
  classes: number,
  side: number,
  askedShare: number,
): SiteOverlaps | null {
  const { known, asked } = probeParts(images, askedShare);
  if (Math.min(known.length, asked.length) < FEWEST_MASKED) return null;
  const [intersections, sizes] = [new Float64Array(classes), new Float64Array(classes)];
  const taught = drawTokens(known, side);
  const testFeatures = joined(asked.map(({ tokens }) => tokens));
  for (let of = 0; of < classes; of++) {
    const said = answers(taught, testFeatures, insideOf(known, of, side));
    for (const [i, image] of asked.entries()) {
      const inside = upscaled(said.subarray(i * side ** 2, (i + 1) * side ** 2), side);
      const truth = maskCells(image.masks[of] ?? [], MASK_GRID);
      const { intersection, size } = overlapOf(inside, truth);
      intersections[of] = (intersections[of] ?? 0) + intersection;
      sizes[of] = (sizes[of] ?? 0) + size;
    }
  }
  return { images: asked.length, intersections, sizes };
}

/**
 * How probable each patch of the asked images is inside, [asked, side^2].
 * @param inside of all patches of the known images, 0 or 1
 */
function answers(taught: Taught, testFeatures: Float32Array, inside: readonly number[]): Float64Array {
  const trainClasses = Int32Array.from(taught.chosen, (at) => inside[at] ?? 0);
  if (new Set(trainClasses).size < 2) {
    return new Float64Array(testFeatures.length / taught.width).fill(trainClasses[0] ?? 0);
  }
  const probabilities = probe({
    trainFeatures: taught.tokens,
    trainClasses,
    testFeatures,
    classes: 2,
    weights: new Float32Array(trainClasses.length).fill(1),
    l2: TOKEN_L2,
  });
  return Float64Array.from(column(probabilities, 2, 1));
}

/** Thousands of tokens need less of a penalty than tens of images. */
const TOKEN_L2 = LOGISTIC_DEFAULTS.l2 / 100;

interface Taught {
  readonly width: number;
  /** Numbers of the patches that teach, among those of all known images. */
  readonly chosen: readonly number[];
  /** [chosen, D] */
  readonly tokens: Float32Array;
}

/** At most `MOST_TOKENS` of all patches, drawn: every nth would come from the same columns of each image. */
function drawTokens(known: readonly MaskedTokens[], side: number): Taught {
  const patches = known.length * side ** 2;
  const chosen = [
    ...new Random(TEST_SPLIT_SEED, 0x70c3).permutation(patches).subarray(0, MOST_TOKENS).sort(),
  ];
  const all = joined(known.map(({ tokens }) => tokens));
  const width = all.length / patches;
  return { width, chosen, tokens: joined(chosen.map((at) => all.subarray(at * width, (at + 1) * width))) };
}

const insideOf = (known: readonly MaskedTokens[], of: number, side: number): readonly number[] =>
  known.flatMap(({ masks }) => [...maskCells(masks[of] ?? [], side)]);

/** 1 where at least half of a cell is covered, [to^2]. @param coverage of a square, 0 to 255 */
export function maskCells(coverage: ArrayLike<number>, to: number): Uint8Array {
  const sizePx = Math.sqrt(coverage.length);
  const { values } = resizeArea(
    { rows: sizePx, columns: sizePx, values: Float32Array.from(coverage) },
    to,
    to,
  );
  return Uint8Array.from(values, (covered) => Number(covered > HALF));
}

/** Interpolated between the patches' centres: 1 where inside is the likelier, [MASK_GRID^2]. */
function upscaled(probabilities: Float64Array, side: number): Uint8Array {
  const among = Array.from({ length: MASK_GRID }, (_, i) => centreAmong(i, MASK_GRID, side));
  const at = (y: number, x: number): number => probabilities[y * side + x] ?? NaN;
  return Uint8Array.from(
    among.flatMap((down) => among.map((across) => Number(bilinear(at, down, across) > 0.5))),
  );
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
