/** One patient's image, looked for in sums of more and more images. */
import type { MaeConfig } from "../../../site-agent/src/pretext/mae.ts";
import { craftedWeights, invert, lastLayerGradient, patchOrders } from "./invert.ts";
import { phantom } from "./phantoms.ts";
import { asImage, contactSheet, hiddenPatches } from "./pictures.ts";
import { psnr } from "./psnr.ts";

export const CONFIG: MaeConfig = {
  encoder: { imagePx: 64, patchPx: 8, channels: 1, width: 32, depth: 1, heads: 2 },
  decoder: { width: 64, depth: 1, heads: 2 },
  visible: 16,
  normPixLoss: false,
};

/** Images in one site's step where it is not one, and sites in the sum. */
export const BATCH = 4;
export const SITES = 10;
/** The fewest that may be masked. */
export const FEW_SITES = 3;

export interface Found {
  readonly what: string;
  /** Of the hidden patches of the first image, mean over victims, dB. */
  readonly psnr: number;
  /** Above what another patient's image has, dB: below zero nothing of this patient is known. */
  readonly gain: number;
}

export interface Inversions {
  readonly found: readonly Found[];
  /** PNG: each row one victim: the hidden patches as they are, then as found in each sum, in the order of `found`. */
  readonly sheet: Uint8Array;
}

/** @param victims patients who are looked for */
export function inversions(victims: number): Inversions {
  const { imagePx } = CONFIG.encoder;
  const weights = craftedWeights(CONFIG, 3);
  // A sum over sites of steps on one image each is, but for its scale, one step on as many images.
  const sums = [
    { what: "one site, one image", images: 1 },
    { what: `the sum of ${FEW_SITES} sites, one image each`, images: FEW_SITES },
    { what: `the sum of ${SITES} sites, one image each`, images: SITES },
    { what: `one site, ${BATCH} images`, images: BATCH },
    { what: `the sum of ${SITES} sites, ${BATCH} images each`, images: SITES * BATCH },
  ];
  const rows: Uint8Array[][] = [];
  const levels = sums.map((): number[] => []);
  const adam: number[] = [];
  const others: number[] = [];
  for (let victim = 0; victim < victims; victim++) {
    const images = Array.from({ length: SITES * BATCH }, (_, i) => phantom(1000 * victim + i, imagePx));
    const orders = patchOrders(CONFIG, images.length, 11 + victim);
    const patches = orders.length / images.length;
    const order = orders.slice(0, patches);
    const [image = new Float32Array(0)] = images;
    const truth = hiddenPatches(image, order, CONFIG);
    const row = [asImage(truth, order, CONFIG)];
    for (const [i, { images: count }] of sums.entries()) {
      const summed = orders.slice(0, count * patches);
      const gradient = lastLayerGradient(CONFIG, weights, images.slice(0, count), summed);
      const guess = invert(CONFIG, weights, gradient, order);
      levels[i]?.push(psnr(guess, truth));
      row.push(asImage(standardised(guess), order, CONFIG));
      if (count === 1) adam.push(psnr(invert(CONFIG, weights, gradient.map(Math.sign), order), truth));
    }
    others.push(psnr(hiddenPatches(phantom(5000 + victim, imagePx), order, CONFIG), truth));
    rows.push(row);
  }
  const baseline = mean(others);
  const of = (what: string, values: readonly number[]): Found => {
    const psnr = mean(values);
    return { what, psnr, gain: psnr - baseline };
  };
  return {
    found: [
      ...sums.map(({ what }, i) => of(what, levels[i] ?? [])),
      of("one site, one image, after one step of AdamW (the gradient's signs)", adam),
      of("another patient's image instead", others),
    ],
    sheet: contactSheet(rows, imagePx),
  };
}

/** For the eye: a sum is shown with the contrast of an image. */
function standardised(patches: Float32Array): Float32Array {
  const centre = mean(patches);
  const deviation = Math.sqrt(mean(patches.map((value) => (value - centre) ** 2)));
  return patches.map((value) => (value - centre) / deviation);
}

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
