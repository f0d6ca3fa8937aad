/** What both kinds of pull have in common: what is asked for, the run, and what is shown. */
import { ConsiliumError, ERRORS } from "@consilium/shared/errors";
import type { Command } from "commander";
import { sourceKey } from "../dataset/keys.ts";
import {
  STUDY_ATTRIBUTES,
  type PullProgress,
  type PullQuery,
  type PullRetry,
  type PullSource,
  type PullSummary,
} from "../ingest/sources/pull.ts";
import type { Spool } from "../ingest/sources/spool.ts";
import { oneOf, Unsuccessful, type CommandContext } from "./context.ts";
import type { CliPorts } from "./ports.ts";
import { describeIntake, receiveInto, withReceivingOptions, type ReceivingOptions } from "./receiving.ts";

export interface PullingOptions extends ReceivingOptions {
  readonly modality: readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly query?: readonly string[];
  readonly level: PullQuery["level"];
  readonly again?: boolean;
}

export function withPullingOptions(command: Command, ports: CliPorts): Command {
  const pulling = command
    .option("--modality <list>", "modalities, such as CR,DX; all if none is named", parseModalities, [])
    .option("--from <date>", "first study date, YYYYMMDD or YYYY-MM-DD", parseDate("--from"))
    .option("--to <date>", "last study date", parseDate("--to"))
    .option("--query <Keyword=value...>", "other attributes of the study, such as StudyDescription=*CHEST*")
    .option("--level <level>", "fetch by study or by series", oneOf("--level", ["study", "series"]), "study")
    .option("--again", "fetch also what was fetched before");
  return withReceivingOptions(pulling, ports);
}

export interface Pulling {
  /** What tells the PACS apart; its counts and its list of what was fetched are kept under the HMAC. */
  readonly identity: readonly string[];
  /** Runs `work` while the source is there to be asked. */
  readonly withSource: (
    into: {
      readonly spool: Spool;
      readonly secret: Uint8Array;
      readonly signal: AbortSignal;
      readonly onStored: () => void;
    },
    work: (source: PullSource) => Promise<void>,
  ) => Promise<void>;
}

/** @throws Unsuccessful, once the result is shown, if a study could not be fetched */
export async function runPull(
  context: CommandContext<PullingOptions>,
  { identity, withSource }: Pulling,
): Promise<void> {
  const { options, output, ports } = context;
  const query: PullQuery = {
    modalities: options.modality,
    from: options.from ?? null,
    to: options.to ?? null,
    matching: parseMatching(options.query ?? []),
    level: options.level,
  };
  const what = options.level === "study" ? "studies" : "series";
  let received = 0;
  let progress: PullProgress = { total: 0, done: 0, skipped: 0, failed: 0 };
  const result: { summary: PullSummary | null } = { summary: null };
  const keyOf = (secret: Uint8Array): string => sourceKey(secret, "pull", ...identity);
  const intake = await receiveInto(context, {
    command: "pull",
    sourceKey: keyOf,
    status: () => ({
      data: { received, ...prefixed(progress) },
      text: `${progress.done} of ${progress.total} ${what} · ${received} received`,
    }),
    bring: async ({ cacheDir, secret, spool, signal, show }) => {
      const { pull } = await import("../ingest/sources/pull.ts");
      const { DoneList } = await import("../ingest/sources/done-list.ts");
      const done = await DoneList.open(cacheDir, keyOf(secret));
      const onStored = (): void => {
        received += 1;
        show();
      };
      const onProgress = (now: PullProgress): void => {
        progress = now;
        show();
      };
      const onRetry = ({ code, attempt, of }: PullRetry): void => {
        output.event(
          "retrying",
          { code, attempt, of },
          `${ERRORS[code].meaning.replace(/\.$/, "")} (${code}): attempt ${attempt} of ${of}`,
        );
      };
      await withSource({ spool, secret, signal, onStored }, async (source) => {
        const again = options.again === true;
        result.summary = await pull(
          { source, query, secret, done, again, onProgress, onRetry },
          spool,
          ports,
          signal,
        );
      });
    },
  });
  const { summary } = result;
  if (summary === null) throw new ConsiliumError("internal");
  output.result(
    { received, ...prefixed(summary), failures: summary.failures, images: intake },
    [
      `${summary.total} ${what} match: ${summary.done - summary.skipped - summary.failed} fetched now, ${summary.skipped} before, ${summary.failed} not.`,
      ...failureLines(summary),
      await describeIntake(intake, await context.openHome()),
    ].join("\n"),
  );
  if (summary.failed > 0) throw new Unsuccessful();
}

const prefixed = ({ total, done, skipped, failed }: PullProgress) => ({
  unitsTotal: total,
  unitsDone: done,
  unitsSkipped: skipped,
  unitsFailed: failed,
});

const SHOWN = 20;

function failureLines({ failures }: PullSummary): readonly string[] {
  const lines = failures
    .slice(0, SHOWN)
    .map(({ key, code }) => `  not fetched  ${key}  ${code}  ${ERRORS[code].meaning}`);
  return failures.length > SHOWN ? [...lines, `  not fetched  and ${failures.length - SHOWN} more`] : lines;
}

function parseModalities(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim().toUpperCase());
  if (names.every((name) => /^[A-Z0-9_]{1,16}$/.test(name))) return names;
  throw new ConsiliumError("config.invalid", {
    detail: "(--modality: give terms such as CR,DX)",
    culprits: ["--modality"],
  });
}

const parseDate =
  (option: string) =>
  (text: string): string => {
    const digits = text.replaceAll("-", "");
    const day = new Date(`${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}T00:00:00Z`);
    if (/^\d{8}$/.test(digits) && !Number.isNaN(day.getTime())) return digits;
    throw new ConsiliumError("config.invalid", { detail: `(${option}: give YYYYMMDD)`, culprits: [option] });
  };

function parseMatching(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, keyword, value] = /^([A-Z][A-Za-z0-9]*)=(.+)$/.exec(pair) ?? [];
      if (keyword !== undefined && value !== undefined && STUDY_ATTRIBUTES.includes(keyword))
        return [keyword, value];
      throw new ConsiliumError("config.invalid", {
        detail: `(--query: give Keyword=value; keywords are ${STUDY_ATTRIBUTES.join(", ")})`,
        culprits: ["--query"],
      });
    }),
  );
}
