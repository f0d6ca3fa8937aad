import { ERRORS, type ErrorCode } from "@consilium/shared/errors";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { formatShare, MINIMUM_USED } from "../../dataset/intake.ts";
import type { IngestProgress, IngestSummary } from "../../ingest/ingest.ts";
import { collect, fraction, handle, siteCommand, wholeNumber } from "../context.ts";
import { describeLabels, LABEL_HELP, labelProgress } from "../label-report.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly labels?: readonly string[];
  readonly size?: number;
  readonly threads: number;
  readonly minUsed: number;
}

export function ingestCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "ingest",
    "Read a folder of DICOM files into an image cache.",
    `The cache holds pixels and pseudonyms, nothing that identifies a person. Files that cannot be used are set aside and
counted by reason; they never stop the rest. If fewer files than --min-used can be used, training waits until a person has
looked and run consilium-site approve. Running it again reads only what is new. Labels stay
at this site, too: ${LABEL_HELP}`,
    `consilium-site ingest /data/chest-xray
     consilium-site ingest /data/chest-xray --labels /data/labels.csv
     consilium-site ingest /data/ct --labels /data/segmentations --labels /data/classes.csv
     consilium-site ingest /data/test-set --cache test --labels /data/test.csv`,
  )
    .argument("<folder>", "folder with DICOM files, searched to the bottom")
    .option("--cache <name>", "cache to fill", "train")
    .option("--labels <path>", "CSV or folder with labels; may be given several times", collect)
    .option("--size <px>", "side of the cached images (default: the plan's)", wholeNumber("--size", 16))
    .option(
      "--min-used <share>",
      "share of the files that has to be used",
      fraction("--min-used"),
      MINIMUM_USED,
    )
    .option("--threads <n>", "reading threads", wholeNumber("--threads", 1), ports.cores);
  return handle<Options>(command, ports, async ({ options, output, openHome }, folder = "") => {
    const home = await openHome();
    const sizePx = options.size ?? (await home.joined()).plan.cachePx;
    const { ingestFolder } = await import("../../ingest/ingest.ts");
    const summary = await ingestFolder({
      folder,
      cacheDir: home.cacheFolder(parseName("--cache", options.cache)),
      secret: await home.hmacSecret(),
      sizePx,
      labels: options.labels ?? [],
      onLabels: labelProgress(output),
      threads: options.threads,
      minimumUsed: options.minUsed,
      onProgress: (progress) => {
        const { files, total } = progress;
        output.progress({
          kind: "ingest",
          text: progressText(progress),
          last: files === total,
          data: { phase: "ingesting", done: files, ...progress },
        });
      },
      signal: ports.signal,
    });
    output.result({ ...summary }, describe(summary));
  });
}

const progressText = ({ files, total, used, quarantined }: IngestProgress): string =>
  `reading · ${files} of ${total} files · ${used} images · ${quarantined} set aside`;

function describe(summary: IngestSummary): string {
  const { files, used, quarantined, labels, minimumUsed } = summary;
  const share = formatShare(summary.usedShare);
  return [
    `${used} images from ${files} files are in the cache.`,
    ...reasonTable(quarantined),
    ...describeLabels(labels),
    ...(summary.needsApproval
      ? [
          `  training     waits: ${share} of the files are used, at least ${formatShare(minimumUsed)} are wanted`,
          "  next         look at the reasons, then consilium-site approve",
        ]
      : ["  next         consilium-site run"]),
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
