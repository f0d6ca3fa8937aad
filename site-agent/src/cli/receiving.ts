/** What listen and pull have in common: options, the cache that images go into, and what is shown. */
import path from "node:path";
import { Option, type Command } from "commander";
import { parseName } from "../config.ts";
import { formatShare, MINIMUM_USED } from "../dataset/intake.ts";
import { QUIET_MS } from "../ingest/cache-intake.ts";
import type { IntakeSummary } from "../ingest/ingest.ts";
import type { ReceiveOptions, ReceiveProgress } from "../ingest/sources/receive.ts";
import { SPOOL_LIMITS, type Spool } from "../ingest/sources/spool.ts";
import { whileLocked, type HoldingCommand } from "../home/lock.ts";
import { fraction, wholeNumber, type CommandContext } from "./context.ts";
import { lostImages, reasonTable } from "./commands/ingest.ts";
import { plannedImages } from "./planned-images.ts";
import type { Home } from "../home/home.ts";
import { nextStep } from "./next-step.ts";
import type { CliPorts } from "./ports.ts";

export interface ReceivingOptions {
  readonly cache: string;
  readonly size?: number;
  readonly threads: number;
  readonly minUsed: number;
  readonly spoolGib: number;
  readonly seriesQuiet: number;
}

export function withReceivingOptions(command: Command, ports: CliPorts): Command {
  return command
    .option("--cache <name>", "cache to fill", "train")
    .option("--size <px>", "side of the cached images (default: the plan's)", wholeNumber("--size", 16))
    .option(
      "--min-used <share>",
      "share of the images that has to be used",
      fraction("--min-used"),
      MINIMUM_USED,
    )
    .option("--threads <n>", "reading threads", wholeNumber("--threads", 1), ports.cores)
    .addOption(
      new Option("--spool-gib <n>", "received and not read yet, at most; more is refused or waits")
        .argParser(wholeNumber("--spool-gib", 1))
        .default(SPOOL_LIMITS.maxBytes / 2 ** 30),
    )
    .option(
      "--series-quiet <s>",
      "plans for volumes: a series has ended when nothing of it came for so long",
      wholeNumber("--series-quiet", 1),
      QUIET_MS / 1000,
    );
}

/** What a command does with the spool, and what it wants to add to a line of progress. */
export interface Bringing {
  readonly command: HoldingCommand;
  readonly sourceKey: (secret: Uint8Array) => string;
  readonly status: () => { readonly data: Readonly<Record<string, unknown>>; readonly text: string };
  readonly bring: (into: {
    readonly cacheDir: string;
    readonly secret: Uint8Array;
    readonly spool: Spool;
    readonly signal: AbortSignal;
    /** Shows where things are. */
    readonly show: () => void;
  }) => Promise<void>;
}

/** Runs `bring` beside the reading of what it brings. @returns the source's counts, or null if nothing ever came */
export async function receiveInto(
  { options, output, openHome, ports }: CommandContext<ReceivingOptions>,
  { command, sourceKey, status, bring }: Bringing,
): Promise<IntakeSummary | null> {
  const home = await openHome();
  const { sizePx, profile } = await plannedImages(home, options.size);
  const cache = parseName("--cache", options.cache);
  const cacheDir = home.cacheFolder(cache);
  const secret = await home.hmacSecret();
  const { receive } = await import("../ingest/sources/receive.ts");
  const key = sourceKey(secret);
  let latest: ReceiveProgress = { files: 0, used: 0, quarantined: 0, waiting: 0 };
  const show = (last: boolean): void => {
    const { data, text } = status();
    const { used, quarantined, waiting } = latest;
    output.progress({
      kind: "receiving",
      last,
      text: `${text} · ${used} images · ${quarantined} set aside · ${waiting} waiting`,
      data: { phase: "receiving", ...latest, ...data },
    });
  };
  const receiving: ReceiveOptions = {
    cacheDir,
    secret,
    sizePx,
    profile,
    threads: options.threads,
    minimumUsed: options.minUsed,
    sourceKey: key,
    spoolDir: path.join(home.folder, "spool", `${cache}-${key}`),
    quietMs: options.seriesQuiet * 1000,
    limits: { ...SPOOL_LIMITS, maxBytes: options.spoolGib * 2 ** 30 },
    signal: ports.signal,
    onLost: lostImages(output),
    onProgress: (progress) => {
      latest = progress;
      // It has caught up.
      show(progress.waiting === 0);
    },
  };
  return whileLocked(home.cacheLockFolder(cache), command, () =>
    receive(receiving, (spool, signal) =>
      bring({
        cacheDir,
        secret,
        spool,
        signal,
        show: () => {
          show(false);
        },
      }),
    ),
  );
}

/** The end of a command's result, for people. */
export async function describeIntake(summary: IntakeSummary | null, home: Home): Promise<string> {
  if (summary === null) return "  images       none so far";
  const { used, files, quarantined, needsApproval, usedShare, minimumUsed } = summary;
  return [
    `  images       ${used} of ${files} are used`,
    ...reasonTable(quarantined),
    ...(needsApproval
      ? [
          `  training     waits: ${formatShare(usedShare)} are used, at least ${formatShare(minimumUsed)} are wanted`,
          "  next         look at the reasons, then consilium-site approve",
        ]
      : [await nextStep(home, used)]),
  ].join("\n");
}
