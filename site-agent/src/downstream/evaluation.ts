/** From class probabilities of the test set to a run's row, and from the rows of all seeds to a summary. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { LabelledImage } from "../dataset/labels.ts";
import { bootstrapByPatient, type Estimate } from "./bootstrap.ts";
import { classIndices } from "./cohort.ts";
import { summariseSeeds } from "./over-seeds.ts";
import {
  accuracy,
  auprc,
  auroc,
  balancedAccuracy,
  confusionMatrix,
  expectedCalibrationError,
  oneAgainstRest,
  overClasses,
  type Predictions,
} from "./metrics.ts";
import { precisionRecallCurve, reliability, rocCurve } from "./rate-curves.ts";
import type {
  Choice,
  DownstreamMode,
  EncoderOrigin,
  FinetuneDetail,
  FinetuneRow,
  FinetuneSummary,
  SetSize,
} from "./types.ts";

/** One run and what it said of each test image. The probabilities are no part of any result. */
export interface Run {
  readonly from: EncoderOrigin;
  readonly mode: DownstreamMode;
  readonly seed: number;
  readonly labels: SetSize;
  readonly losses: readonly number[];
  readonly choice: Choice;
  /** [test images, classes] */
  readonly probabilities: ArrayLike<number>;
}

export interface TestSet {
  readonly images: readonly LabelledImage[];
  readonly classes: readonly string[];
}

const LOSS_POINTS = 10;

/** @throws labels.too-few if the test set holds one class only */
export function evaluateRun(run: Run, test: TestSet): { row: FinetuneRow; detail: FinetuneDetail } {
  const { from, mode, seed, labels, losses, choice } = run;
  const predictions = predictionsOf(run, test);
  const estimates = bootstrapByPatient(
    {
      auroc: overClasses(auroc, predictions),
      accuracy: accuracy(predictions),
      auprc: overClasses(auprc, predictions),
      balancedAccuracy: balancedAccuracy(predictions),
      calibrationError: expectedCalibrationError(predictions),
    },
    test.images.map(({ patient }) => patient),
  );
  const { auprc: area, balancedAccuracy: balanced, calibrationError } = estimates;
  const curves = oneAgainstRest(predictions).map((each) => ({
    ...each,
    class: test.classes[each.class] ?? "",
  }));
  return {
    row: { from, mode, seed, auroc: defined(estimates.auroc), accuracy: defined(estimates.accuracy) },
    detail: {
      from,
      mode,
      seed,
      labels,
      auprc: area,
      balancedAccuracy: balanced,
      calibrationError,
      confusion: confusionMatrix(predictions),
      roc: curves.map(({ class: name, scores, positive }) => ({
        class: name,
        points: rocCurve(scores, positive),
      })),
      precisionRecall: curves.map(({ class: name, scores, positive }) => ({
        class: name,
        points: precisionRecallCurve(scores, positive),
      })),
      reliability: reliability(predictions),
      losses: tenths(losses),
      choice,
    },
  };
}

/** One line for each encoder and mode, in the order of the runs. @throws labels.too-few */
export function summarise(runs: readonly Run[], test: TestSet): FinetuneSummary[] {
  const statistics = runs.map((run) => {
    const predictions = predictionsOf(run, test);
    return { auroc: overClasses(auroc, predictions), accuracy: accuracy(predictions) };
  });
  const patients = test.images.map(({ patient }) => patient);
  return summariseSeeds(runs, statistics, patients).map(({ from, mode, seeds, measures, gain }) => {
    const area = defined(measures["auroc"]);
    const hits = defined(measures["accuracy"]);
    return {
      ...{ from, mode, seeds, aurocMean: area.value, accuracyMean: hits.value },
      ...{ auroc: area, accuracy: hits, aurocGain: gain },
    };
  });
}

export function predictionsOf({ probabilities }: Run, { images, classes }: TestSet): Predictions {
  return { classes: classes.length, probabilities, truth: classIndices(images, classes) };
}

function defined(estimate: Estimate | null | undefined): Estimate {
  if (estimate == null) throw new ConsiliumError("labels.too-few");
  return estimate;
}

/** Means of ten equal parts. */
export function tenths(losses: readonly number[]): number[] {
  const points = Math.min(LOSS_POINTS, losses.length);
  return Array.from({ length: points }, (_, i) => {
    const part = losses.slice(
      Math.floor((i * losses.length) / points),
      Math.floor(((i + 1) * losses.length) / points),
    );
    return part.reduce((sum, loss) => sum + loss, 0) / part.length;
  });
}
