/** What a person is told about the labels that a plan learns from. */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import type { Plan } from "@consilium/shared/plan";
import { counted } from "@consilium/shared/units";
import { openImageCache } from "../dataset/cache.ts";
import { readLabels, type LabelledImage } from "../dataset/labels.ts";
import { labelledParts, trainingImages } from "../dataset/training-images.ts";
import { FEWEST_LABELLED } from "../downstream/label-scores.ts";
import type { Output } from "./output.ts";

/** Nothing where the plan learns from none. @throws labels.not-of-plan, training.no-images, cache.corrupt */
export async function sayTaught(plan: Plan, cacheDir: string, output: Pick<Output, "event">): Promise<void> {
  const { pretext } = plan;
  if (pretext.task !== "classify") return;
  const { classes } = pretext;
  const labels = await readLabels(cacheDir);
  const cache = await openImageCache(cacheDir);
  cache.close();
  trainingImages(cache, plan, labels);
  const { taught, tested } = labelledParts(cache, labels, pretext);
  const countOf = (images: readonly LabelledImage[]): readonly number[] =>
    classes.map((name) => images.filter(({ label }) => label === name).length);
  const images = countOf(taught);
  const found = classes.map((name, at) => `${name} ${images[at] ?? 0}`).join(", ");
  const isScored = evaluationOf(plan) !== null && tested.length >= FEWEST_LABELLED;
  output.event(
    "labels",
    { classes, taught: images, tested: countOf(tested), isScored },
    [
      `labels · trains on images labelled ${found}; ${counted(tested.length, "image")} of other patients kept to test on`,
      ...(isScored ? ["  evaluation   how these score leaves in the masked sum alone"] : []),
      ...(images.includes(0)
        ? [
            "  next         a class is missing here: consilium-site label adds labels; training goes on without it",
          ]
        : []),
    ].join("\n"),
  );
}
