/** What a person is told about this site's part in the common evaluation. */
import { evaluationOf } from "@consilium/shared/evaluation/extras";
import { maskEvaluationOf } from "@consilium/shared/evaluation/mask-extras";
import type { Plan } from "@consilium/shared/plan";
import { readLabels } from "../dataset/labels.ts";
import { knows } from "../dataset/known.ts";
import { openMasks } from "../dataset/masks.ts";
import { FEWEST_LABELLED } from "../downstream/label-scores.ts";
import { FEWEST_MASKED } from "../downstream/mask-probe.ts";
import type { Output } from "./output.ts";

/** Half of the patients teach, the others are scored. */
const FEWEST = 2 * FEWEST_LABELLED;

type Said = Pick<Output, "event">;

/** Nothing where the plan does not ask. @throws cache.corrupt */
export async function sayEvaluation(plan: Plan, cacheDir: string, output: Said): Promise<void> {
  await sayLabels(plan, cacheDir, output);
  await sayMasks(plan, cacheDir, output);
}

async function sayMasks(plan: Plan, cacheDir: string, output: Said): Promise<void> {
  const asked = maskEvaluationOf(plan);
  // As below: a head that is trained is asked about the patients whom nobody trains on.
  if (asked === null || plan.pretext.task === "masks") return;
  const { classes } = asked;
  const masks = await openMasks(cacheDir);
  masks?.close();
  const images = [...(masks?.images ?? [])].filter((image) =>
    classes.every((name) => masks !== null && knows(masks.known, image, name)),
  ).length;
  const takesPart = images >= 2 * FEWEST_MASKED && classes.every((name) => masks?.classes.includes(name));
  const wanted = classes.join(", ");
  output.event(
    "mask-evaluation",
    { classes, images, takesPart },
    takesPart
      ? `evaluation · ${images} images here have masks of ${wanted}; how much of them is found leaves in the masked sum alone`
      : [
          `evaluation · no part in that of masks: the plan asks for ${2 * FEWEST_MASKED} images or more with masks of ${wanted}; here: ${images} with masks`,
          "  next         consilium-site label adds masks; training goes on without them",
        ].join("\n"),
  );
}

async function sayLabels(plan: Plan, cacheDir: string, output: Said): Promise<void> {
  const evaluation = evaluationOf(plan);
  if (evaluation === null) return;
  // A head that is trained is asked about the patients whom nobody trains on.
  if (plan.pretext.task === "classify") return;
  const { classes } = evaluation;
  const labels = [...(await readLabels(cacheDir)).values()];
  const images = classes.map((name) => labels.filter((label) => label === name).length);
  const takesPart = !images.includes(0) && images.reduce((sum, count) => sum + count) >= FEWEST;
  const found = classes.map((name, at) => `${name} ${images[at] ?? 0}`).join(", ");
  output.event(
    "evaluation",
    { classes, images, takesPart },
    takesPart
      ? `evaluation · labelled images here: ${found}; how they score leaves in the masked sum alone`
      : [
          `evaluation · no part in it: the plan asks for ${FEWEST} labelled images or more, some of every class; here: ${found}`,
          "  next         consilium-site label adds labels; training goes on without them",
        ].join("\n"),
  );
}
