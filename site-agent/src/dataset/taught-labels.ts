/** The labels of a cache that a plan learns from: what is answered for each image, and which images those are. */
import { canonicalJson, sha256, type Json } from "@consilium/shared/canonical";
import type { Plan } from "@consilium/shared/plan";
import { taughtIn } from "@consilium/shared/pretext-schema";
import { labelWeights, truthOf, type Truth } from "./finding-truth.ts";
import { namesIn, readFindings, type Findings } from "./findings.ts";
import { knows } from "./known.ts";
import { labelledImages, readLabels, type LabelledImage, type Labels } from "./labels.ts";
import { coverageOf, openMasks, type MaskSet } from "./masks.ts";
import type { ImageCache } from "./types.ts";

/** What the images of a batch show, an image along axis 0 of each array. Letters in shapes: N images, C classes of the plan. */
export type Answers =
  | {
      readonly kind: "classes";
      /** Place of each image's class among the plan's. */
      readonly classes: Int32Array;
      /** Weight of each image's loss; their mean over all that are trained on is 1. */
      readonly weights: Float32Array;
    }
  | {
      readonly kind: "findings";
      /** [N, C]: 1 there, 0 not there or not known. */
      readonly present: Float32Array;
      /** [N, C]: weight of each answer; 0 where it is not known. */
      readonly weights: Float32Array;
    }
  | {
      readonly kind: "masks";
      /** [N, slices, rows, columns, C] as what is cached: coverage, 0 to 255. */
      readonly coverage: Uint8Array;
      /** [N, C]: 0 where nobody looked for a class, else 1. */
      readonly weights: Float32Array;
    };

export type TaughtPlan = NonNullable<ReturnType<typeof taughtIn<Plan["pretext"]>>>;

/** What lies beside a cache, as far as the plan learns from it or evaluates it. */
export interface SiteLabels {
  readonly labels: Labels;
  readonly findings?: Findings;
  /** Null where the site has none. */
  readonly masks?: MaskSet | null;
}

/** @throws cache.corrupt */
export async function openSiteLabels(
  dir: string,
  { pretext, health }: Pick<Plan, "pretext"> & Partial<Pick<Plan, "health">>,
): Promise<SiteLabels & { close(): void }> {
  const labels = await readLabels(dir);
  const findings = pretext.task === "findings" ? await readFindings(dir) : new Map<string, never>();
  const asksMasks = pretext.task === "masks" || health?.masks !== undefined;
  const masks = asksMasks ? await openMasks(dir) : null;
  return { labels, findings, masks, close: () => masks?.close() };
}

/** Images that answer something that the plan asks; `label` is their class, where classes are learned. */
export function answered(
  { records }: Pick<ImageCache, "records">,
  { labels, findings = new Map<string, never>(), masks = null }: SiteLabels,
  { task, classes }: Pick<TaughtPlan, "task" | "classes">,
): readonly LabelledImage[] {
  if (task === "classify")
    return labelledImages(records, labels).filter(({ label }) => classes.includes(label));
  const spoken = namesIn(findings);
  const isKnown = (image: string): boolean => {
    if (task === "masks") return masks !== null && classes.some((name) => knows(masks.known, image, name));
    const own = findings.get(image);
    return own !== undefined && truthOf(own, classes, spoken).some((value) => value !== null);
  };
  return records.flatMap(({ image, patient }, index) =>
    isKnown(image) ? [{ index, patient, label: task }] : [],
  );
}

/** The answers for images that are trained on, by their places among them; and what stands for all of these answers. */
export interface Answering {
  readonly answers: (places: ArrayLike<number>) => Answers;
  readonly answersKey: string;
}

/** @param taught of `answered` */
export function answersFor(
  cache: Pick<ImageCache, "records" | "sizePx" | "depthPx">,
  taught: readonly LabelledImage[],
  { labels, findings = new Map<string, never>(), masks = null }: SiteLabels,
  pretext: TaughtPlan,
): Answering {
  const { classes } = pretext;
  const images = taught.map(({ index }) => cache.records[index]?.image ?? "");
  if (pretext.task === "classify") {
    const truth = Int32Array.from(images, (image) => classes.indexOf(labels.get(image) ?? ""));
    const weights = pretext.balanceClasses ? balancedWeights(truth) : new Float32Array(truth.length).fill(1);
    return {
      answersKey: keyOf([...truth]),
      answers: (places) => ({
        kind: "classes",
        classes: Int32Array.from(places, (i) => truth[i] ?? NaN),
        weights: Float32Array.from(places, (i) => weights[i] ?? NaN),
      }),
    };
  }
  if (pretext.task === "findings") {
    const spoken = namesIn(findings);
    const nothing = { present: [], unknown: [...classes] };
    const truths = images.map((image) => truthOf(findings.get(image) ?? nothing, classes, spoken));
    const weights = pretext.balanceClasses ? labelWeights(truths, true) : truths.map(knownAlone);
    const rows = (places: ArrayLike<number>, of: (i: number) => readonly number[]): Float32Array =>
      Float32Array.from(Array.from(places).flatMap((i) => [...of(i)]));
    return {
      answersKey: keyOf(truths),
      answers: (places) => ({
        kind: "findings",
        present: rows(places, (i) => (truths[i] ?? []).map((value) => value ?? 0)),
        weights: rows(places, (i) => weights[i] ?? []),
      }),
    };
  }
  if (masks === null) throw new Error("masks are learned from masks");
  return {
    answersKey: keyOf([masks.digest ?? "", masks.classes]),
    answers: (places) => {
      const asked = Array.from(places, (i) => images[i] ?? "");
      return {
        kind: "masks",
        coverage: coverageOf(masks, asked, classes),
        weights: Float32Array.from(
          asked.flatMap((image) => classes.map((name) => Number(knows(masks.known, image, name)))),
        ),
      };
    },
  };
}

const keyOf = (answers: Json): string => sha256(canonicalJson(answers));

const knownAlone = (truth: Truth): number[] => truth.map((value) => Number(value !== null));

/** Inverse to how common an image's class is; mean 1. */
export function balancedWeights(truth: Int32Array): Float32Array {
  const counts = new Map<number, number>();
  for (const c of truth) counts.set(c, (counts.get(c) ?? 0) + 1);
  return Float32Array.from(truth, (c) => truth.length / (counts.size * (counts.get(c) ?? 1)));
}
