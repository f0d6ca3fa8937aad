/** What a person is told about the labels that a plan learns from. */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import { findingEvaluationOf } from "@consilium/shared/evaluation/finding-extras";
import { maskEvaluationOf } from "@consilium/shared/evaluation/mask-extras";
import type { Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { counted } from "@consilium/shared/units";
import { knows } from "../dataset/known.ts";
import type { LabelledImage } from "../dataset/labels.ts";
import type { SiteLabels, TaughtPlan } from "../dataset/taught-labels.ts";
import { openSiteLabels } from "../dataset/taught-labels.ts";
import { labelledParts, openTrainingImages } from "../dataset/training-images.ts";
import type { ImageCache } from "../dataset/types.ts";
import { FEWEST_LABELLED } from "../downstream/label-scores.ts";
import { FEWEST_MASKED } from "../downstream/mask-probe.ts";
import type { Output } from "./output.ts";

/** The images that are trained on, as a person calls them; and how many of the test patients a head is scored on. */
const WORDS = {
  classify: { images: "labelled", fewest: FEWEST_LABELLED, evaluation: evaluationOf },
  findings: { images: "that show", fewest: FEWEST_LABELLED, evaluation: findingEvaluationOf },
  masks: { images: "with masks of", fewest: FEWEST_MASKED, evaluation: maskEvaluationOf },
} as const;

/** Nothing where the plan learns from none. @throws labels.not-of-plan, cache.missing, cache.corrupt */
export async function sayTaught(plan: Plan, cacheDir: string, output: Pick<Output, "event">): Promise<void> {
  const teaching = taughtIn(plan.pretext);
  if (teaching === null) return;
  const { classes, task } = teaching;
  const training = await openTrainingImages(cacheDir, plan);
  training.close();
  const labels = await openSiteLabels(cacheDir, plan);
  labels.close();
  const { taught, tested } = labelledParts(training.whole, labels, teaching);
  const images = countOf(training.whole, labels, teaching, taught);
  const found = classes.map((name, at) => `${name} ${images[at] ?? 0}`).join(", ");
  const words = WORDS[task];
  const isScored = words.evaluation(plan) !== null && tested.length >= words.fewest;
  output.event(
    "labels",
    { classes, taught: images, tested: countOf(training.whole, labels, teaching, tested), isScored },
    [
      `labels · trains on images ${words.images} ${found}; ${counted(tested.length, "image")} of other patients kept to test on`,
      ...(isScored ? [`  evaluation   ${SCORED[task]} leaves in the masked sum alone`] : []),
      ...(images.includes(0)
        ? [
            "  next         a class is missing here: consilium-site label adds labels; training goes on without it",
          ]
        : []),
    ].join("\n"),
  );
}

const SCORED = {
  classify: "how these score",
  findings: "how these score",
  masks: "how much of their masks is found",
} as const;

/** Of these images, how many show each class of the plan. */
function countOf(
  { records }: Pick<ImageCache, "records">,
  { findings, masks }: SiteLabels,
  { task, classes }: TaughtPlan,
  images: readonly LabelledImage[],
): readonly number[] {
  const shows = ({ index, label }: LabelledImage, name: string): boolean => {
    if (task === "classify") return label === name;
    const image = records[index]?.image ?? "";
    if (task === "masks") return masks != null && knows(masks.known, image, name);
    return findings?.get(image)?.present.includes(name) === true;
  };
  return classes.map((name) => images.filter((image) => shows(image, name)).length);
}
