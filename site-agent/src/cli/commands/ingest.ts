import type { Command } from "commander";
import { parseName } from "../../config.ts";
import type { IngestProgress, IngestSummary } from "../../ingest/ingest.ts";
import { handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly labels?: string;
  readonly size?: number;
  readonly threads: number;
}

export function ingestCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "ingest",
    "Read a folder of DICOM files into an image cache.",
    `The cache holds pixels and pseudonyms, nothing that identifies a person. Files that cannot be used are set aside and
counted by reason; they never stop the rest. Running it again reads only what is new. The label file is a CSV with the
columns sop_instance_uid and label; it stays at this site, too.`,
    `consilium-site ingest /data/chest-xray
     consilium-site ingest /data/chest-xray --labels /data/labels.csv
     consilium-site ingest /data/test-set --cache test --labels /data/test.csv`,
  )
    .argument("<folder>", "folder with DICOM files, searched to the bottom")
    .option("--cache <name>", "cache to fill", "train")
    .option("--labels <file>", "CSV with sop_instance_uid and label")
    .option("--size <px>", "side of the cached images (default: the plan's)", wholeNumber("--size", 16))
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
      ...(options.labels === undefined ? {} : { labelsFile: options.labels }),
      threads: options.threads,
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

function describe({ files, used, quarantined, labels }: IngestSummary): string {
  const reasons = Object.entries(quarantined).map(([code, count]) => `  set aside    ${count} ${code}`);
  const { matched, unmatched, duplicates } = labels;
  const counted = matched + unmatched + duplicates > 0;
  return [
    `${used} images from ${files} files are in the cache.`,
    ...reasons,
    ...(counted
      ? [
          `  labels       ${matched} matched, ${unmatched} for images that are not here, ${duplicates} repeated`,
        ]
      : []),
    "  next         consilium-site run",
  ].join("\n");
}
