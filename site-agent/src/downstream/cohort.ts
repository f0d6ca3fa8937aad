/** Which labelled images a classifier trains on and which it is tested on. No patient is in both. */
import { ConsiliumError } from "@consilium/shared/errors";
import { labelledImages, type LabelledImage } from "../dataset/labels.ts";
import { fewLabels, splitByPatient, TEST_SPLIT_SEED } from "../dataset/splits.ts";
import type { ImageCache } from "../dataset/types.ts";
import type { FinetuneOptions, LabelledCache, SetSize } from "./types.ts";

export interface Cohort {
  /** Class names by index. */
  readonly classes: readonly string[];
  /** All that may be trained on; `label` is a name of `classes`. */
  readonly train: readonly LabelledImage[];
  readonly test: readonly LabelledImage[];
  readonly testSource: "cache" | "split";
}

/**
 * @param test null splits the training set by patient
 * @throws labels.unmatched if no image has a label, labels.too-few if a class is missing in a part, config.invalid if no
 * label is the negative class
 */
export function formCohort(
  train: LabelledCache<Pick<ImageCache, "records">>,
  test: LabelledCache<Pick<ImageCache, "records">> | null,
  {
    negativeClass,
    releasedClasses,
    testFraction,
  }: Pick<FinetuneOptions, "negativeClass" | "releasedClasses" | "testFraction">,
): Cohort {
  const all = labelled(train);
  const names = new Set(releasedClasses ?? all.map(({ label }) => label));
  const classes = releasedClasses ?? classNames(names, negativeClass);
  const [, positive = ""] = classes;
  const grouped = (images: readonly LabelledImage[]) =>
    negativeClass === null
      ? images.filter(({ label }) => names.has(label))
      : images.map((image) => (image.label === negativeClass ? image : { ...image, label: positive }));

  if (test === null) {
    const enough = (part: readonly LabelledImage[]): boolean => holdsAll(part, classes);
    return { classes, ...splitOff(grouped(all), enough, testFraction), testSource: "split" };
  }
  const tested = grouped(labelled(test));
  const testPatients = new Set(tested.map(({ patient }) => patient));
  const trained = grouped(all).filter(({ patient }) => !testPatients.has(patient));
  if (!holdsAll(trained, classes) || !holdsAll(tested, classes)) throw new ConsiliumError("labels.too-few");
  return { classes, train: trained, test: tested, testSource: "cache" };
}

/** The labels of one seed, stratified by class. */
export function drawLabels(
  { train }: Pick<Cohort, "train">,
  budget: FinetuneOptions["labels"],
  seed: number,
): LabelledImage[] {
  return budget === null ? [...train] : fewLabels(train, budget, seed);
}

export function setSize(images: readonly LabelledImage[]): SetSize {
  return { images: images.length, patients: new Set(images.map(({ patient }) => patient)).size };
}

/** Class index of each image. */
export function classIndices(images: readonly LabelledImage[], classes: readonly string[]): Int32Array {
  return Int32Array.from(images, ({ label }) => classes.indexOf(label));
}

function labelled({ cache, labels }: LabelledCache<Pick<ImageCache, "records">>): LabelledImage[] {
  const images = labelledImages(cache.records, labels);
  if (images.length === 0) throw new ConsiliumError("labels.unmatched");
  return images;
}

function classNames(names: ReadonlySet<string>, negativeClass: string | null): readonly string[] {
  const sorted = [...names].sort();
  if (negativeClass !== null && !names.has(negativeClass)) {
    throw new ConsiliumError("config.invalid", {
      detail: `(no image has the label of --negative; there are: ${sorted.join(", ")})`,
      culprits: ["negative"],
    });
  }
  const others = sorted.filter((name) => name !== negativeClass);
  if (sorted.length < 2) throw new ConsiliumError("labels.too-few");
  if (negativeClass === null) return sorted;
  return [negativeClass, others.length === 1 ? (others[0] ?? "") : `not ${negativeClass}`];
}

/** The split by patient, which never changes as data are added. @throws labels.too-few unless both parts hold enough */
export function splitOff(
  images: readonly LabelledImage[],
  enough: (part: readonly LabelledImage[]) => boolean,
  testFraction: number,
): { train: LabelledImage[]; test: LabelledImage[] } {
  const parts = splitByPatient(images, { train: 1 - testFraction, test: testFraction }, TEST_SPLIT_SEED);
  if (enough(parts.train) && enough(parts.test)) return parts;
  throw new ConsiliumError("labels.too-few", {
    detail:
      "(the patients that are set apart for testing, or the others, lack a class or any label: label more, or give --test)",
  });
}

function holdsAll(images: readonly LabelledImage[], classes: readonly string[]): boolean {
  const found = new Set(images.map(({ label }) => label));
  return classes.every((name) => found.has(name));
}
