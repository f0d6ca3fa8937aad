/** The figures of a comparison (`consilium-site finetune --json`) that a model card may carry: numbers and words of our own. */
import { ConsiliumError } from "@consilium/shared/errors";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { DOWNSTREAM_MODES, DOWNSTREAM_TASKS, type DownstreamMode } from "../downstream/types.ts";

const estimateSchema = z.object({
  value: z.number(),
  /** Null where too few patients were tested to tell. */
  low: z.number().nullable(),
  high: z.number().nullable(),
});
const setSchema = z.object({ images: z.int().min(0), patients: z.int().min(0) });
const MEASURES = ["auroc", "accuracy", "dice", "hd95", "mAP@.5", "FROC"] as const;

/** Of classes the measures stand beside each other, of masks and boxes together. */
const rowSchema = z.object({
  from: z.enum(["scratch", "own", "global"]),
  mode: z.enum(DOWNSTREAM_MODES),
  seeds: z.int().min(1),
  auroc: estimateSchema.nullish(),
  accuracy: estimateSchema.nullish(),
  measures: z.record(z.string(), estimateSchema.nullable()).optional(),
});

const comparisonSchema = z.object({
  event: z.literal("result"),
  task: z.enum(DOWNSTREAM_TASKS),
  labels: setSchema,
  test: setSchema,
  testSource: z.enum(["cache", "split"]),
  summary: z.array(rowSchema).min(1),
});

export interface EvaluationRow {
  readonly from: "scratch" | "own" | "global";
  readonly mode: DownstreamMode;
  readonly seeds: number;
  /** Names of measures of all classes; a class' own name may say too much of a site. */
  readonly measures: Readonly<Record<string, z.infer<typeof estimateSchema>>>;
}

export interface Evaluation {
  readonly task: (typeof DOWNSTREAM_TASKS)[number];
  readonly labels: z.infer<typeof setSchema>;
  readonly test: z.infer<typeof setSchema>;
  readonly testSource: "cache" | "split";
  readonly rows: readonly EvaluationRow[];
}

/**
 * @param text what `finetune --json` printed: one object a line
 * @throws config.invalid if no line is a result
 */
export function readEvaluation(text: string): Evaluation {
  for (const line of text.trim().split("\n").toReversed()) {
    const parsed = comparisonSchema.safeParse(jsonOrNull(line));
    if (!parsed.success) continue;
    const { task, labels, test, testSource, summary } = parsed.data;
    return { task, labels, test, testSource, rows: summary.map(toRow) };
  }
  throw new ConsiliumError("config.invalid", {
    detail: "(--results: no line of the file is a result of consilium-site finetune --json)",
    culprits: ["results"],
  });
}

function toRow({ from, mode, seeds, measures, ...beside }: z.infer<typeof rowSchema>): EvaluationRow {
  const all: Readonly<Partial<Record<string, z.infer<typeof estimateSchema> | null>>> = {
    ...beside,
    ...measures,
  };
  const known = MEASURES.flatMap((name) => {
    const estimate = all[name] ?? null;
    return estimate === null ? [] : [[name, estimate] as const];
  });
  return { from, mode, seeds, measures: Object.fromEntries(known) };
}
