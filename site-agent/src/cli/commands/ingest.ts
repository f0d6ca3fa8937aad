import { ERRORS, type ErrorCode } from "@consilium/shared/errors";
import { GREY_IMAGES, inputProfile, type InputProfile } from "@consilium/shared/input-profile";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { formatShare, MINIMUM_USED } from "../../dataset/intake.ts";
import type { Home } from "../../home/home.ts";
import type { IngestProgress, IngestSummary } from "../../ingest/ingest.ts";
import { fraction, handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly labels?: string;
  readonly size?: number;
  readonly niftiModality?: string;
  readonly threads: number;
  readonly minUsed: number;
}

export function ingestCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "ingest",
    "Read a folder of DICOM or NIfTI files into an image cache.",
    `The cache holds pixels and pseudonyms, nothing that identifies a person. Files that cannot be used are set aside and
counted by reason; they never stop the rest. If fewer files than --min-used can be used, training waits until a person has
looked and run consilium-site approve. Running it again reads only what is new. The label file is a CSV with the
columns sop_instance_uid and label; it stays at this site, too. How values become grey, and whether files become images or
volumes, is the plan's choice: join first.`,
    `consilium-site ingest /data/chest-xray
     consilium-site ingest /data/chest-xray --labels /data/labels.csv
     consilium-site ingest /data/brains --nifti-modality MR
     consilium-site ingest /data/test-set --cache test --labels /data/test.csv`,
  )
    .argument("<folder>", "folder with DICOM or NIfTI files, searched to the bottom")
    .option("--cache <name>", "cache to fill", "train")
    .option("--labels <file>", "CSV with sop_instance_uid and label")
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
    .option("--threads <n>", "reading threads", wholeNumber("--threads", 1), ports.cores);
  return handle<Options>(command, ports, async ({ options, output, openHome }, folder = "") => {
    const home = await openHome();
    const { sizePx, profile } = await plannedImages(home, options.size);
    const { ingestFolder } = await import("../../ingest/ingest.ts");
    const summary = await ingestFolder({
      folder,
      cacheDir: home.cacheFolder(parseName("--cache", options.cache)),
      secret: await home.hmacSecret(),
      sizePx,
      profile,
      ...(options.labels === undefined ? {} : { labelsFile: options.labels }),
      ...(options.niftiModality === undefined ? {} : { niftiModality: options.niftiModality }),
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

/**
 * What the plan asks for, so that all sites' images are alike; its defaults at a site that has not joined yet.
 * @throws home.not-joined if neither a plan nor an option says how large images are
 */
async function plannedImages(
  home: Home,
  size: number | undefined,
): Promise<{ readonly sizePx: number; readonly profile: InputProfile }> {
  const { enrolment } = await home.readConfig();
  if (enrolment === null && size !== undefined) return { sizePx: size, profile: GREY_IMAGES };
  const { plan } = await home.joined();
  return { sizePx: size ?? plan.cachePx, profile: inputProfile(plan) };
}

const progressText = ({ files, total, used, quarantined }: IngestProgress): string =>
  `reading · ${files} of ${total} files · ${used} images · ${quarantined} set aside`;

function describe(summary: IngestSummary): string {
  const { files, used, volumes, quarantined, labels, minimumUsed } = summary;
  const { matched, unmatched, duplicates } = labels;
  const counted = matched + unmatched + duplicates > 0;
  const share = formatShare(summary.usedShare);
  return [
    volumes === undefined
      ? `${used} images from ${files} files are in the cache.`
      : `${volumes} volumes of ${used} from ${files} files are in the cache.`,
    ...reasonTable(quarantined),
    ...(counted
      ? [
          `  labels       ${matched} matched, ${unmatched} for images that are not here, ${duplicates} repeated`,
        ]
      : []),
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
