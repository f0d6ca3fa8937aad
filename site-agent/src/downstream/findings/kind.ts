/** Findings as labels: several on one image, each there, not there, or not known. */
import { ConsiliumError } from "@consilium/shared/errors";
import { readImages } from "../../dataset/batches.ts";
import type { CachedImages } from "../../dataset/cache.ts";
import { namesIn, type Findings } from "../../dataset/findings.ts";
import type { LabelledImage } from "../../dataset/labels.ts";
import type { VitConfig } from "../../model/sizes.ts";
import { headParameters, initialClassifierHead } from "../classifier.ts";
import { mayFlip, type LabelKind } from "../label-kind.ts";
import type { FinetuneSettings } from "../types.ts";
import { viewArrays } from "../views.ts";
import { findingCurves, findingsArea, findingStatistics, type JudgedFindings } from "./measures.ts";
import { findingsInference, findingsTrainStep, type FindingsInputs } from "./network.ts";
import { labelWeights, learnable, truthOf, type Truth } from "../../dataset/finding-truth.ts";

export interface FindingsSet {
  readonly cache: CachedImages;
  readonly findings: Findings;
}

/** From here on a finding is said to be there. */
const SAID = 0.5;
const NOTHING = { present: [], unknown: [] };

/**
 * @param released the findings of the federation's head, in its order; null takes those that can be learned here
 * @throws labels.too-few if no finding is both there on some image and known not to be on another
 */
export function findingsAsLabels(
  train: FindingsSet,
  config: VitConfig,
  { balanceClasses, labelSmoothing }: Pick<FinetuneSettings, "balanceClasses" | "labelSmoothing">,
  released: readonly string[] | null = null,
): LabelKind<FindingsSet, FindingsInputs, JudgedFindings> {
  const names = released ?? learnable(train.findings);
  if (names.length === 0) {
    throw new ConsiliumError("labels.too-few", {
      detail: "(no finding is there on one image and known not to be there on another)",
    });
  }
  const cached = train.cache;
  const spoken = new Map<Findings, ReadonlySet<string>>();
  const truthIn = ({ cache, findings }: FindingsSet, index: number): Truth => {
    const ofSet = spoken.get(findings) ?? namesIn(findings);
    spoken.set(findings, ofSet);
    return truthOf(findings.get(cache.records[index]?.image ?? "") ?? NOTHING, names, ofSet);
  };
  return {
    task: "findings",
    classes: names,
    measures: ["auroc", "auprc", "ece"],
    flips: mayFlip(names),
    labelled: (set) => labelledByRarest(set, names, truthIn),
    headParameters: headParameters(config, names.length),
    initialHead: (seed) => initialClassifierHead(config, names.length, seed),
    trainStep: (batchSize, parameters, optimizer) =>
      findingsTrainStep({ config, cached, batchSize }, names.length, parameters, optimizer),
    inference: (batchSize, parameters) => findingsInference({ config, cached, batchSize }, parameters),
    batches: (set, fitted) => {
      const truths = fitted.map(({ index }) => truthIn(set, index));
      const rows = labelWeights(truths, balanceClasses);
      const labels = new Map(
        fitted.map(({ index }, i) => [index, { truth: truths[i] ?? [], weights: rows[i] ?? [] }]),
      );
      const target = (value: 0 | 1 | null): number =>
        (value ?? 0) * (1 - labelSmoothing) + labelSmoothing / 2;
      return (images, crops) => {
        const indices = images.map(({ index }) => index);
        const pixels = readImages(set.cache, indices, config.channels);
        const own = indices.map((index) => labels.get(index));
        return {
          ...viewArrays(config, cached, pixels, crops),
          targets: Float32Array.from(own.flatMap((each) => each?.truth.map(target) ?? [])),
          weights: Float32Array.from(own.flatMap((each) => each?.weights ?? [])),
        };
      };
    },
    judge: (set, { index }, { probabilities = new Float32Array() }) => ({
      probabilities: [...probabilities],
      truth: truthIn(set, index),
    }),
    statistics: (judged) => findingStatistics(judged, names),
    area: (judged, patients) => findingsArea(judged, names, patients),
    curves: (judged) => findingCurves(judged, names),
    goodness: (judged) => rightness(judged, worstOf(judged)),
    question: (judged) => {
      const worst = worstOf(judged);
      return Float32Array.from(names, (_, c) => Number(c === worst));
    },
    shapes: (set, { index }, { probabilities = new Float32Array() }, saliency) => {
      const truth = truthIn(set, index);
      const c = worstOf({ probabilities: [...probabilities], truth });
      return {
        kind: "finding",
        name: names[c] ?? "",
        probability: probabilities[c] ?? 0,
        isThere: truth[c] === 1,
        others: names.filter((_, other) => other !== c && (probabilities[other] ?? 0) >= SAID),
        saliency,
      };
    },
  };
}

/** Labels by the rarest finding that they show, so that a few labels hold rare ones too; those of which nothing is known are none. */
function labelledByRarest(
  set: FindingsSet,
  names: readonly string[],
  truthIn: (set: FindingsSet, index: number) => Truth,
): readonly LabelledImage[] {
  const known = set.cache.records.flatMap(({ image, patient }, index) => {
    if (!set.findings.has(image)) return [];
    const truth = truthIn(set, index);
    return truth.every((value) => value === null) ? [] : [{ index, patient, truth }];
  });
  const counts = names.map((_, c) => known.filter(({ truth }) => truth[c] === 1).length);
  const byRarity = [...names.keys()].sort((a, b) => (counts[a] ?? 0) - (counts[b] ?? 0));
  return known.map(({ index, patient, truth }) => {
    const rarest = byRarity.find((c) => truth[c] === 1);
    return { index, patient, label: rarest === undefined ? "none" : (names[rarest] ?? "") };
  });
}

/** The known finding that is told worst. */
function worstOf(judged: JudgedFindings): number {
  const known = [...judged.truth.keys()].filter((c) => judged.truth[c] !== null);
  return known.reduce(
    (worst, c) => (rightness(judged, c) < rightness(judged, worst) ? c : worst),
    known[0] ?? 0,
  );
}

/** The probability of what is so. */
function rightness({ probabilities, truth }: JudgedFindings, c: number): number {
  const said = probabilities[c] ?? 0;
  return truth[c] === 1 ? said : 1 - said;
}
