/**
 * How well boxes are found. Which detection is which box is settled image by image and once; what depends on the images'
 * weights is only counting, so that the bootstrap can do it a thousand times.
 */
import type { Statistic } from "../metrics.ts";
import { iou, type Detection, type Target } from "./rectangles.ts";

export interface Located {
  /** The surest first. */
  readonly detections: readonly Detection[];
  readonly truth: readonly Target[];
}

/** A detection takes a box from this overlap on. */
export const MATCH_IOU = 0.5;
/** False positives an image at which FROC's sensitivity is read (LUNA16: Setio et al. 2017). */
const FROC_RATES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8] as const;

interface Claim {
  readonly image: number;
  readonly score: number;
  readonly hit: boolean;
}

interface ClassClaims {
  /** All images' detections of the class, the surest first. */
  readonly claims: readonly Claim[];
  /** Boxes of the class in each image. */
  readonly boxes: readonly number[];
}

/**
 * Each detection, from the surest on, is of the box of its class that it overlaps most, if it overlaps it enough; the first
 * takes it, and whatever comes later is wrong, though another box were free (PASCAL VOC, VOCevaldet.m).
 * Of boxes that it overlaps alike, one that is free.
 * @returns for each detection whether it took a box
 */
export function matchDetections({ detections, truth }: Located, least = MATCH_IOU): readonly boolean[] {
  const taken = new Set<Target>();
  return detections.map((detection) => {
    let best: Target | null = null;
    let overlap = least;
    for (const target of truth) {
      if (target.class !== detection.class) continue;
      const common = iou(target, detection);
      if (common < overlap || (common === overlap && taken.has(target))) continue;
      best = target;
      overlap = common;
    }
    if (best === null || taken.has(best)) return false;
    taken.add(best);
    return true;
  });
}

/** Mean over the classes with boxes of the average precision. */
export function meanAveragePrecision(images: readonly Located[], classes: number): Statistic {
  const all = Array.from({ length: classes }, (_, c) => averagePrecision(images, c));
  return (weights) => {
    const values = all.map((statistic) => statistic(weights)).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
}

/**
 * Area under precision over recall, with precision raised to the best at no less recall (PASCAL VOC from 2010 on).
 * Null if no image has a box of the class.
 */
export function averagePrecision(images: readonly Located[], of: number): Statistic {
  const { claims, boxes } = claimsOf(images, of);
  return (weights) => {
    const wanted = count(boxes, weights);
    if (wanted === 0) return null;
    const precisions: number[] = [];
    const steps: number[] = [];
    let hits = 0;
    let said = 0;
    for (const { image, hit } of claims) {
      const weight = weights?.[image] ?? 1;
      said += weight;
      hits += hit ? weight : 0;
      precisions.push(said === 0 ? 0 : hits / said);
      steps.push(hit ? weight / wanted : 0);
    }
    let best = 0;
    let sum = 0;
    for (let i = claims.length - 1; i >= 0; i--) {
      best = Math.max(best, precisions[i] ?? 0);
      sum += best * (steps[i] ?? 0);
    }
    return sum;
  };
}

/** Mean sensitivity at 1/8 to 8 false positives an image, over all classes together (FROC: Bunch et al. 1977). */
export function frocScore(images: readonly Located[], classes: number): Statistic {
  const all = together(images, classes);
  return (weights) => {
    const corners = frocCorners(all, images.length, weights);
    if (corners === null) return null;
    return FROC_RATES.reduce((sum, rate) => sum + sensitivityAt(corners, rate), 0) / FROC_RATES.length;
  };
}

/** Sensitivity over false positives an image, from 0 to 8. Rates only. */
export function frocCurve(images: readonly Located[], classes: number): { x: number; y: number }[] {
  const corners = frocCorners(together(images, classes), images.length);
  if (corners === null) return [];
  const last = FROC_RATES.at(-1) ?? 0;
  const shown = corners.filter(({ x }) => x <= last);
  return [...shown, { x: last, y: sensitivityAt(corners, last) }];
}

function together(images: readonly Located[], classes: number): ClassClaims {
  const parts = Array.from({ length: classes }, (_, c) => claimsOf(images, c));
  return {
    claims: parts.flatMap(({ claims }) => claims).sort((a, b) => b.score - a.score),
    boxes: images.map(({ truth }) => truth.length),
  };
}

function claimsOf(images: readonly Located[], of: number): ClassClaims {
  const claims = images.flatMap((located, image) => {
    const hits = matchDetections(located);
    return located.detections.flatMap(({ class: c, score }, i) =>
      c === of ? [{ image, score, hit: hits[i] ?? false }] : [],
    );
  });
  return {
    claims: claims.sort((a, b) => b.score - a.score),
    boxes: images.map(({ truth }) => truth.filter((target) => target.class === of).length),
  };
}

/** From no detection on to all of them; null if there is no box. */
function frocCorners(
  { claims, boxes }: ClassClaims,
  images: number,
  weights?: ArrayLike<number>,
): { x: number; y: number }[] | null {
  const wanted = count(boxes, weights);
  const seen = count(new Array<number>(images).fill(1), weights);
  if (wanted === 0 || seen === 0) return null;
  const corners = [{ x: 0, y: 0 }];
  let hits = 0;
  let misses = 0;
  for (const { image, hit } of claims) {
    const weight = weights?.[image] ?? 1;
    if (hit) hits += weight;
    else misses += weight;
    corners.push({ x: misses / seen, y: hits / wanted });
  }
  return corners;
}

/** The most found without more false positives than `rate`. */
const sensitivityAt = (corners: readonly { x: number; y: number }[], rate: number): number =>
  corners.findLast(({ x }) => x <= rate)?.y ?? 0;

function count(numbers: readonly number[], weights?: ArrayLike<number>): number {
  return numbers.reduce((sum, number, i) => sum + number * (weights?.[i] ?? 1), 0);
}
