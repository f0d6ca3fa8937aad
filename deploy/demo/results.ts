/** The numbers that the demo ends with, beyond what the report shows: means, differences, the falls. */
import { z } from "zod";
import type { FinetuneResult } from "./commands.ts";
import { demoReportSchema, encoderOriginSchema, intervalSchema, type EncoderOrigin } from "./report/types.ts";

const meanSchema = z.strictObject({
  from: encoderOriginSchema,
  seeds: z.int().min(1),
  /** Means over the seeds, with the interval of the mean (bootstrap by test patient). */
  auroc: intervalSchema,
  accuracy: intervalSchema,
  /** AUROC less that from scratch on the same labels and test patients. */
  gain: intervalSchema.nullable(),
});

const comparisonSchema = z.strictObject({
  /** A site's name, or `pooled`. */
  name: z.string(),
  labels: z.strictObject({ images: z.int(), patients: z.int() }),
  test: z.strictObject({ images: z.int(), patients: z.int() }),
  encoders: z.array(meanSchema).readonly(),
});
export type Comparison = z.infer<typeof comparisonSchema>;

export const demoSummarySchema = z.strictObject({
  loss: z.strictObject({
    /** Of each round, weighted by examples. */
    byRound: z.array(z.number()).readonly(),
    first: z.number().nullable(),
    last: z.number().nullable(),
    /** Share of the first round's loss that is gone after the last. */
    fall: z.number().nullable(),
  }),
  /** Mean AUROC over sites and seeds; null where an encoder was not tried. */
  sites: z.strictObject({
    scratch: z.number().nullable(),
    own: z.number().nullable(),
    federated: z.number().nullable(),
    federatedMinusScratch: z.number().nullable(),
    federatedMinusOwn: z.number().nullable(),
  }),
  /** The same with all hospitals' labels in one place: possible only in a demo, where one machine holds everything. */
  pooled: z
    .strictObject({
      labels: z.int(),
      scratch: z.number(),
      federated: z.number(),
      federatedMinusScratch: z.number(),
    })
    .nullable(),
  comparisons: z.array(comparisonSchema).readonly(),
});
export type DemoSummary = z.infer<typeof demoSummarySchema>;

/** What `--json` writes. */
export const demoResultSchema = demoReportSchema.extend({
  versions: z.record(z.string(), z.string()),
  summary: demoSummarySchema,
});
export type DemoResult = z.infer<typeof demoResultSchema>;

export function comparison(name: string, result: FinetuneResult): Comparison {
  const size = ({ images, patients }: { images: number; patients: number }) => ({ images, patients });
  return {
    name,
    labels: size(result.labels),
    test: size(result.test),
    encoders: result.summary.map(({ from, auroc, accuracy, aurocGain }) => ({
      from,
      seeds: result.rows.filter((row) => row.from === from).length,
      auroc: interval(auroc),
      accuracy: interval(accuracy),
      gain: aurocGain === null ? null : interval(aurocGain),
    })),
  };
}

const interval = ({ value, low, high }: z.infer<typeof intervalSchema>) => ({ value, low, high });

export function summarise(
  losses: readonly number[],
  sites: readonly Comparison[],
  pooled: Comparison | null,
): DemoSummary {
  const [first, last] = [losses[0] ?? null, losses.at(-1) ?? null];
  const mean = (from: EncoderOrigin): number | null => {
    const values = sites.flatMap((site) => aurocOf(site, from) ?? []);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const [scratch, own, federated] = [mean("scratch"), mean("own"), mean("global")];
  const [pooledScratch, pooledFederated] = [aurocOf(pooled, "scratch"), aurocOf(pooled, "global")];
  return {
    loss: {
      byRound: losses,
      first,
      last,
      fall: first === null || last === null || losses.length < 2 ? null : 1 - last / first,
    },
    sites: {
      scratch,
      own,
      federated,
      federatedMinusScratch: difference(federated, scratch),
      federatedMinusOwn: difference(federated, own),
    },
    pooled:
      pooled === null || pooledScratch === null || pooledFederated === null
        ? null
        : {
            labels: pooled.labels.images,
            scratch: pooledScratch,
            federated: pooledFederated,
            federatedMinusScratch: pooledFederated - pooledScratch,
          },
    comparisons: pooled === null ? sites : [...sites, pooled],
  };
}

function aurocOf(compared: Comparison | null, from: EncoderOrigin): number | null {
  return compared?.encoders.find((each) => each.from === from)?.auroc.value ?? null;
}

const difference = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? null : a - b;
