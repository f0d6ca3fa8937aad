/** From what happened to what is written: the report's data and the summary. */
import { comparison, demoResultSchema, summarise, type DemoResult, type DemoSummary } from "./results.ts";
import type { DemoOutcome } from "./demo.ts";
import { readFormats, type HospitalFolder } from "./hospitals.ts";
import type { FinetuneResult } from "./commands.ts";
import type { Ingested } from "./ingesting.ts";
import type { DemoOptions } from "./options.ts";
import { HOSPITALS } from "./phantom/vendors.ts";
import type { Check, DemoReport, Evaluation, Hospital, Outflow } from "./report/types.ts";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import { lossesOf, trainingRounds } from "./rounds.ts";

export interface RunFacts {
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly machine: DemoReport["machine"];
  readonly versions: Readonly<Record<string, string>>;
}

export async function assemble(
  options: DemoOptions,
  outcome: DemoOutcome,
  facts: RunFacts,
): Promise<DemoResult> {
  const { status, fineTuned, hospitals } = outcome;
  const comparisons = fineTuned.sites.map(({ site, result }) => comparison(site, result));
  const pooled = fineTuned.pooled === null ? null : comparison("pooled", fineTuned.pooled);
  const summary = summarise(lossesOf(status), comparisons, pooled);
  return demoResultSchema.parse({
    schemaVersion: 1,
    federation: status.federation,
    title: status.plan.title,
    startedAt: facts.startedAt.toISOString(),
    durationMs: facts.durationMs,
    data: options.data === null ? "phantom" : "folder",
    question: fineTuned.question,
    options: describeOptions(options),
    machine: facts.machine,
    plan: status.plan,
    planHash: status.planHash,
    parameters: status.parameters,
    checkpoint: status.checkpoint,
    steps: outcome.steps,
    hospitals: await Promise.all(
      hospitals.sites.map((folder) => describeHospital(folder, outcome.ingested, options.data === null)),
    ),
    training: {
      durationMs: outcome.trainingMs,
      rounds: trainingRounds(status),
    },
    evaluations: fineTuned.sites.map(({ site, result }) => describeEvaluation(site, result)),
    references: references(fineTuned.pooled),
    reconstructions: outcome.reconstructions,
    outflows: outflows(status),
    checks: options.quick ? [] : checks(options, summary),
    links: [],
    versions: facts.versions,
    summary,
  } satisfies Record<keyof DemoResult, unknown>);
}

/** Not the paths: the report may be shown to others. */
function describeOptions(options: DemoOptions): DemoReport["options"] {
  const { data, rounds, model, seed, images, labelFraction, seeds, own, quick } = options;
  const given = {
    ...(data === null ? { "--images": images } : { "--data": "a folder" }),
    "--rounds": rounds,
    "--model": model,
    "--label-fraction": labelFraction,
    "--seeds": seeds,
    "--seed": seed,
    ...(own ? {} : { "--no-own": "yes" }),
    ...(quick ? { "--quick": "yes" } : {}),
  };
  return Object.entries(given).map(([name, value]) => ({ name, value: String(value) }));
}

async function describeHospital(
  { site, images, labels }: HospitalFolder,
  ingested: readonly Ingested[],
  isPhantom: boolean,
): Promise<Hospital> {
  const result = ingested.find((each) => each.site === site)?.train;
  if (result === undefined) throw new Error(`${site} was not ingested`);
  const { transferSyntaxes, photometricInterpretations, bitsStored } = await readFormats(images);
  const phantom = HOSPITALS.find(({ name }) => isPhantom && name === site);
  const matched = result.labels;
  return {
    site,
    look: phantom?.description ?? `as exported, ${bitsStored.join(" and ")} bit`,
    transferSyntaxes,
    photometricInterpretations,
    files: result.files,
    used: result.used,
    quarantined: result.quarantined,
    labels:
      labels === null || matched == null
        ? null
        : { matched: matched.matched, unmatched: matched.unmatched, duplicates: matched.duplicates },
  };
}

function describeEvaluation(site: string, result: FinetuneResult): Evaluation {
  const size = ({ images, patients }: { images: number; patients: number }) => ({ images, patients });
  return {
    site: site as Evaluation["site"],
    labels: size(result.labels),
    test: size(result.test),
    rows: result.rows.map(({ from, mode, seed, auroc, accuracy }) => ({
      from,
      mode,
      seed,
      auroc: { value: auroc.value, low: auroc.low, high: auroc.high },
      accuracy: { value: accuracy.value, low: accuracy.low, high: accuracy.high },
    })),
  };
}

function references(pooled: FinetuneResult | null): DemoReport["references"] {
  if (pooled === null) return [];
  const names = { scratch: "from scratch", own: "own encoder", global: "federated encoder" };
  return comparison("pooled", pooled).encoders.map(({ from, auroc, accuracy }) => ({
    name: `${names[from]}, all hospitals' labels pooled (possible only in a demo, where one machine holds everything)`,
    mode: "finetune" as const,
    labels: pooled.labels.images,
    auroc,
    accuracy,
  }));
}

const PROTECTION = {
  masked: "masked by the site, so that only the sum of all shows; signed",
  plain: "encrypted for the coordinator, signed by the site",
};

function outflows({ sites, plan }: FederationStatus): Outflow[] {
  return sites.map(({ site, contributions, receivedBytes }) => ({
    site,
    objects: [
      {
        kind: "weight updates",
        count: contributions,
        bytes: receivedBytes,
        protection: PROTECTION[plan.aggregation.secure],
      },
    ],
  }));
}

const LEAST_FALL = 0.3;
const LEAST_GAIN = 0.1;

/**
 * What a whole run should reach; real radiographs are held to the design's figures. Phantoms are held to the loss alone:
 * what a few labels give varies from draw to draw, and no drawing proves what pre-training is worth.
 */
function checks({ data }: DemoOptions, { loss, sites, pooled }: DemoSummary): Check[] {
  const found: Check[] = [];
  if (loss.fall !== null) {
    found.push({
      name: "reconstruction loss falls",
      target: `at least ${100 * LEAST_FALL} %`,
      value: `${(100 * loss.fall).toFixed(1)} %`,
      ok: loss.fall >= LEAST_FALL,
    });
  }
  const gain = pooled?.federatedMinusScratch ?? sites.federatedMinusScratch;
  if (gain !== null && data !== null) {
    found.push({
      name:
        pooled === null
          ? "federated encoder beats scratch, mean AUROC of the sites"
          : "federated encoder beats scratch, AUROC with all hospitals' labels pooled",
      target: `at least +${LEAST_GAIN.toFixed(2)}`,
      value: `${gain >= 0 ? "+" : "−"}${Math.abs(gain).toFixed(3)}`,
      ok: gain >= LEAST_GAIN,
    });
  }
  return found;
}
