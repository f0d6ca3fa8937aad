import { ConsiliumError, ERRORS, type ErrorCode } from "@consilium/shared/errors";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { formatShare, MINIMUM_USED } from "../../dataset/intake.ts";
import type { LostImages } from "../../dataset/cache-writer.ts";
import { whileLocked } from "../../home/lock.ts";
import type { IngestProgress, IngestSummary, IntakeSummary } from "../../ingest/ingest.ts";
import { collect, fraction, handle, siteCommand, wholeNumber } from "../context.ts";
import { describeLabels, LABEL_HELP, labelProgress } from "../label-report.ts";
import type { Output } from "../output.ts";
import { plannedImages } from "../planned-images.ts";
import { nextStep } from "../next-step.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly labels?: readonly string[];
  readonly size?: number;
  readonly niftiModality?: string;
  readonly threads: number;
  readonly minUsed: number;
  readonly watch?: boolean;
  readonly poll: number;
}

/** A copy over the network may rest for a moment. */
const SETTLE_MS = 3000;

export function ingestCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "ingest",
    "Read a folder of DICOM or NIfTI files into an image cache.",
    `The cache holds pixels and pseudonyms, nothing that identifies a person. Files that cannot be used are set aside and
counted by reason; they never stop the rest. If fewer files than --min-used can be used, training waits until a person has
looked and run consilium-site approve. Running it again reads only what is new. How values become grey, and whether files
become images or volumes, is the plan's choice: join first. With --watch it goes on: new files are read once their size has
come to rest. Labels stay at this site, too: ${LABEL_HELP}`,
    `consilium-site ingest /data/chest-xray
     consilium-site ingest /data/chest-xray --labels /data/labels.csv
     consilium-site ingest /data/ct --labels /data/segmentations --labels /data/classes.csv
     consilium-site ingest /data/brains --nifti-modality MR
     consilium-site ingest /data/test-set --cache test --labels /data/test.csv
     consilium-site ingest /mnt/pacs-export --watch --poll 30`,
  )
    .argument("<folder>", "folder with DICOM or NIfTI files, searched to the bottom")
    .option("--cache <name>", "cache to fill", "train")
    .option("--labels <path>", "CSV or folder with labels; may be given several times", collect)
    .option(
      "--nifti-modality <term>",
      "what NIfTI files hold, as they do not say: CT, MR, ... (default: other)",
    )
    .option("--size <px>", "side of the cached images (default: the plan's)", wholeNumber("--size", 16))
    .option(
      "--min-used <share>",
      "share of the files that has to be used",
      fraction("--min-used"),
      MINIMUM_USED,
    )
    .option("--threads <n>", "reading threads", wholeNumber("--threads", 1), ports.cores)
    .option("--watch", "go on reading new files until it is stopped")
    .option(
      "--poll <s>",
      "seconds between two looks at a folder that does not tell of changes",
      wholeNumber("--poll", 1),
      10,
    );
  return handle<Options>(command, ports, async ({ options, output, openHome }, folder = "") => {
    const home = await openHome();
    const { sizePx, profile } = await plannedImages(home, options.size);
    const cache = parseName("--cache", options.cache);
    const cacheDir = home.cacheFolder(cache);
    const lock = home.cacheLockFolder(cache);
    const common = {
      folder,
      cacheDir,
      secret: await home.hmacSecret(),
      sizePx,
      profile,
      ...(options.niftiModality === undefined ? {} : { niftiModality: options.niftiModality }),
      threads: options.threads,
      minimumUsed: options.minUsed,
      onProgress: (progress: IngestProgress) => {
        const { files, total } = progress;
        output.progress({
          kind: "ingest",
          text: progressText(progress),
          last: files === total,
          data: { phase: "ingesting", done: files, ...progress },
        });
      },
      onLost: lostImages(output),
      signal: ports.signal,
    };
    if (options.watch === true) {
      if (options.labels !== undefined) throw labelsWhileWatching();
      const { watchFolder } = await import("../../ingest/sources/folder-watch.ts");
      const { sleep, nowMs } = ports;
      const onCaughtUp = (summary: IntakeSummary): void => {
        output.event("caught-up", { ...summary }, caughtUpText(summary));
      };
      const watching = { pollMs: options.poll * 1000, settleMs: SETTLE_MS, sleep, nowMs, onCaughtUp };
      await whileLocked(lock, "ingest", () => watchFolder({ ...common, ...watching }));
      return;
    }
    const { ingestFolder } = await import("../../ingest/ingest.ts");
    const labels = { labels: options.labels ?? [], onLabels: labelProgress(output) };
    const summary = await whileLocked(lock, "ingest", () => ingestFolder({ ...common, ...labels }));
    output.result({ ...summary }, describe(summary, await nextStep(home, summary.used)));
  });
}

/** Says that a cache was damaged. */
export const lostImages =
  (output: Pick<Output, "event">) =>
  ({ shards, images }: LostImages): void => {
    output.event(
      "cache-damaged",
      { shards, images },
      [
        `the cache is damaged · ${images} images in ${shards} shards cannot be read and were put aside (damaged-* in its folder)`,
        "  next         their files are read again where they are met: ingest every folder again, and pull fetches all that it fetched",
        "               before; what came by listen has to be sent again",
      ].join("\n"),
    );
  };

const labelsWhileWatching = (): ConsiliumError =>
  new ConsiliumError("config.invalid", {
    detail: "(--labels and --watch exclude each other: ingest the folder once more with --labels)",
    culprits: ["--labels", "--watch"],
  });

const caughtUpText = ({ files, used }: IntakeSummary): string =>
  `${used} images from ${files} files are in the cache; waiting for new files, Ctrl-C ends it`;

const progressText = ({ files, total, used, quarantined }: IngestProgress): string =>
  `reading · ${files} of ${total} files · ${used} images · ${quarantined} set aside`;

function describe(summary: IngestSummary, next: string): string {
  const { files, used, volumes, quarantined, labels, minimumUsed } = summary;
  const share = formatShare(summary.usedShare);
  return [
    volumes === undefined
      ? `${used} images from ${files} files are in the cache.`
      : `${volumes} volumes of ${used} from ${files} files are in the cache.`,
    ...reasonTable(quarantined),
    ...describeLabels(labels),
    ...(summary.needsApproval
      ? [
          `  training     waits: ${share} of the files are used, at least ${formatShare(minimumUsed)} are wanted`,
          "  next         look at the reasons, then consilium-site approve",
        ]
      : [next]),
  ].join("\n");
}

/** How many files were set aside for each reason, the most frequent first. */
export function reasonTable(quarantined: IngestSummary["quarantined"]): readonly string[] {
  const reasons = Object.entries(quarantined).sort(([, a], [, b]) => b - a);
  if (reasons.length === 0) return [];
  const width = Math.max(...reasons.map(([code]) => code.length));
  return [
    "  set aside    because",
    ...reasons.map(
      ([code, count]) =>
        `${String(count).padStart(11)}    ${code.padEnd(width)}  ${ERRORS[code as ErrorCode].meaning}`,
    ),
  ];
}
