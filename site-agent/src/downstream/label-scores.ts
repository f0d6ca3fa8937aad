/** How well features tell apart what a site has labels of: a first look, without training a network. */
import { LOGISTIC_DEFAULTS } from "./logistic.ts";
import { probe } from "./probe.ts";
import { splitByPatient, TEST_SPLIT_SEED } from "../dataset/splits.ts";

export interface LabelledFeature {
  readonly patient: string;
  readonly label: string;
  readonly feature: Float32Array;
}

/** Shares of the tested images that are named rightly. */
export interface LabelScores {
  /** By the nearest of the others. */
  readonly neighbours: number;
  /** By a linear probe. */
  readonly probe: number;
  /** By saying the commonest class. */
  readonly commonest: number;
}

const NEIGHBOURS = 5;
/** Images of a part, and of classes in it, below which a share means nothing. */
export const FEWEST_LABELLED = 16;

/** A share of the patients is named by the others. Null where there are too few. */
export function labelScores(features: readonly LabelledFeature[], askedShare: number): LabelScores | null {
  const { known, asked } = probeParts(features, askedShare);
  const classes = [...new Set(known.map(({ label }) => label))].sort();
  if (known.length < FEWEST_LABELLED || asked.length < FEWEST_LABELLED || classes.length < 2) return null;
  const share = (isRight: (one: LabelledFeature, index: number) => boolean): number =>
    asked.filter(isRight).length / asked.length;
  const most = commonest(known.map(({ label }) => label));
  const probabilities = probe({
    trainFeatures: flatFeatures(known),
    trainClasses: Int32Array.from(known, ({ label }) => classes.indexOf(label)),
    testFeatures: flatFeatures(asked),
    classes: classes.length,
    weights: new Float32Array(known.length).fill(1),
    l2: LOGISTIC_DEFAULTS.l2,
  });
  const said = (index: number): string | undefined => {
    const row = probabilities.subarray(index * classes.length, (index + 1) * classes.length);
    return classes[row.indexOf(Math.max(...row))];
  };
  return {
    neighbours: share((one) => nearest(known, one) === one.label),
    probe: share(({ label }, index) => said(index) === label),
    commonest: share(({ label }) => label === most),
  };
}

/**
 * By patient: who teaches a probe, and who is asked. As plans that learn from labels split at their `testShare`: with that share
 * nobody is asked whom the encoder was taught with.
 */
export const probeParts = <T extends { readonly patient: string }>(
  images: readonly T[],
  askedShare: number,
) => splitByPatient(images, { known: 1 - askedShare, asked: askedShare }, TEST_SPLIT_SEED);

/** The commonest label of the nearest by angle. */
function nearest(known: readonly LabelledFeature[], { feature }: LabelledFeature): string | undefined {
  const byAngle = known
    .map((other) => ({ label: other.label, likeness: cosine(other.feature, feature) }))
    .sort((a, b) => b.likeness - a.likeness);
  return commonest(byAngle.slice(0, NEIGHBOURS).map(({ label }) => label));
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? NaN;
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / Math.sqrt(aa * bb || 1);
}

/** Of equally common ones that which came first. */
function commonest(labels: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  let best: string | undefined;
  for (const [label, count] of counts) if (count > (counts.get(best ?? "") ?? 0)) best = label;
  return best;
}

/** [N, D] */
export function flatFeatures(features: readonly LabelledFeature[]): Float32Array {
  const width = features[0]?.feature.length ?? 0;
  const all = new Float32Array(features.length * width);
  for (const [i, { feature }] of features.entries()) all.set(feature, i * width);
  return all;
}
