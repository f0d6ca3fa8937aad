/**
 * Splits by patient that stay as they are when images or patients are added: where a patient goes follows from the
 * patient's key and the seed alone, never from who else is there.
 */
import { createHash } from "node:crypto";
import type { LabelledImage } from "./labels.ts";

/** What a split needs to know of an image; ImageRecord and LabelledImage both have it. */
interface OfPatient {
  readonly patient: string;
}

/** Shares by name, for example {train: 0.8, validation: 0.2}; they sum to 1. */
export type Shares<Name extends string> = Readonly<Record<Name, number>>;

/** Of the patients whom labels are tested on: trying others until one suits would move patients when data are added. */
export const TEST_SPLIT_SEED = 0;

/**
 * Sends a share of the patients, with all images, to `kept`; in proportion from each class, and never the last one of a class. A
 * patient of several classes counts for the rarest.
 */
export function keepByPatient(
  images: readonly LabelledImage[],
  share: number,
  seed: number,
): { readonly fitted: readonly LabelledImage[]; readonly kept: readonly LabelledImage[] } {
  const bySize = [...byLabel(images).values()].sort(
    (a, b) => patientsOf(a).size - patientsOf(b).size || compare(a[0]?.label ?? "", b[0]?.label ?? ""),
  );
  const [fitted, kept] = [new Set<string>(), new Set<string>()];
  for (const members of bySize) {
    const own = [...patientsOf(members)];
    const free = own
      .filter((patient) => !fitted.has(patient) && !kept.has(patient))
      .map((patient) => ({ patient, at: place(patient, "kept-back", seed) }))
      .sort((a, b) => a.at - b.at || compare(a.patient, b.patient));
    const most = free.length - Number(!own.some((patient) => fitted.has(patient)));
    // Of all so far, so that many small classes together give their share.
    const wanted = Math.round(share * (fitted.size + kept.size + free.length)) - kept.size;
    for (const [i, { patient }] of free.entries()) (i < Math.min(wanted, most) ? kept : fitted).add(patient);
  }
  return {
    fitted: images.filter(({ patient }) => fitted.has(patient)),
    kept: images.filter(({ patient }) => kept.has(patient)),
  };
}

const patientsOf = (images: readonly LabelledImage[]): Set<string> =>
  new Set(images.map(({ patient }) => patient));

/** How many labels to keep: a share of each class, or a number over all classes. */
export type LabelBudget = { readonly fraction: number } | { readonly count: number };

/** A number in [0, 1) that a patient keeps for ever under this seed and purpose. */
function place(patient: string, purpose: string, seed: number): number {
  const digest = createHash("sha256").update(`consilium/${purpose}\0${seed}\0${patient}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}

/**
 * Sends each patient, with all images, to one part. A part's size is near its share only for many patients.
 * @throws RangeError if a share is negative or they do not sum to 1
 */
export function splitByPatient<T extends OfPatient, Name extends string>(
  images: readonly T[],
  shares: Shares<Name>,
  seed: number,
): Record<Name, T[]> {
  const names = Object.keys(shares) as Name[];
  const sum = names.reduce((total, name) => total + shares[name], 0);
  if (names.some((name) => !(shares[name] >= 0)) || Math.abs(sum - 1) > 1e-9)
    throw new RangeError("the shares of a split are not negative and sum to 1");
  const parts = Object.fromEntries(names.map((name) => [name, [] as T[]])) as unknown as Record<Name, T[]>;
  const ends = cumulative(names.map((name) => shares[name]));
  for (const image of images) {
    const at = place(image.patient, "split", seed);
    const part = ends.findIndex((end) => at < end);
    const name = names[part === -1 ? names.length - 1 : part];
    if (name !== undefined) parts[name].push(image);
  }
  return parts;
}

/**
 * A few labelled images, stratified by class. Each class gives patients in an order of their own until its number of
 * images is reached, so that a smaller budget under the same seed is part of a larger one. Each class keeps at least
 * one image, and none more than it has; all classes keep their balance.
 * @returns in the order of `images`
 * @throws RangeError on a budget that is not positive
 */
export function fewLabels(
  images: readonly LabelledImage[],
  budget: LabelBudget,
  seed: number,
): LabelledImage[] {
  if (!(("fraction" in budget ? budget.fraction : budget.count) > 0))
    throw new RangeError("a label budget is positive");
  const classes = byLabel(images);
  const chosen = new Set<LabelledImage>();
  const names = [...classes.keys()].sort();
  const sizes = names.map((name) => classes.get(name)?.length ?? 0);
  const counts =
    "count" in budget ? apportion(sizes, budget.count) : sizes.map((size) => portion(size, budget.fraction));
  for (const [i, name] of names.entries()) {
    const ordered = (classes.get(name) ?? [])
      .map((image) => ({ image, at: place(image.patient, "few-labels", seed) }))
      .sort(
        (a, b) => a.at - b.at || compare(a.image.patient, b.image.patient) || a.image.index - b.image.index,
      );
    for (const { image } of ordered.slice(0, counts[i])) chosen.add(image);
  }
  return images.filter((image) => chosen.has(image));
}

function byLabel(images: readonly LabelledImage[]): Map<string, LabelledImage[]> {
  const classes = new Map<string, LabelledImage[]>();
  for (const image of images) {
    const members = classes.get(image.label);
    if (members === undefined) classes.set(image.label, [image]);
    else members.push(image);
  }
  return classes;
}

const portion = (size: number, fraction: number): number =>
  Math.min(size, Math.max(1, Math.round(size * fraction)));

/**
 * Shares `count` out in proportion to `sizes`, by largest remainder (Hamilton's method), then sees that each class has
 * at least one. More classes than `count` still get one each.
 */
function apportion(sizes: readonly number[], count: number): number[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const target = Math.min(count, total);
  const exact = sizes.map((size) => (size * target) / Math.max(1, total));
  const seats = exact.map((share, i) => Math.min(sizes[i] ?? 0, Math.max(1, Math.floor(share))));
  const byRemainder = exact
    .map((share, i) => ({ i, rest: share - Math.floor(share) }))
    .sort((a, b) => b.rest - a.rest || a.i - b.i);
  let left = target - seats.reduce((sum, seat) => sum + seat, 0);
  for (const { i } of byRemainder) {
    if (left <= 0) break;
    if ((seats[i] ?? 0) >= (sizes[i] ?? 0)) continue;
    seats[i] = (seats[i] ?? 0) + 1;
    left -= 1;
  }
  // Classes raised to one took more than their share: the largest give it back.
  while (left < 0) {
    const largest = seats.indexOf(Math.max(...seats));
    if ((seats[largest] ?? 0) <= 1) break;
    seats[largest] = (seats[largest] ?? 0) - 1;
    left += 1;
  }
  return seats;
}

function cumulative(shares: readonly number[]): number[] {
  let end = 0;
  return shares.map((share) => (end += share));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
