import { ConsiliumError } from "@consilium/shared/errors";
import { inputProfile } from "@consilium/shared/input-profile";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { handle, siteCommand } from "../context.ts";
import { describeLabels, LABEL_HELP, labelProgress } from "../label-report.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly images?: string;
}

export function labelCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "label",
    "Add labels to the images of a cache.",
    `Reads ${LABEL_HELP} Labels join images by the same keyed hash as the cache; text that is not a name of a class is
counted and not kept. RTSTRUCT and NIfTI are drawn in the patient, and masks of volumes slice by slice: give the folder of the
images with --images. Nothing leaves this site.`,
    `consilium-site label /data/classes.csv
     consilium-site label /data/masks --cache train
     consilium-site label /data/rtstruct --images /data/ct`,
  )
    .argument("<path>", "CSV, or folder or file with masks or DICOM labels")
    .option("--cache <name>", "cache to label", "train")
    .option("--images <folder>", "the images, for labels that are drawn in the patient");
  return handle<Options>(command, ports, async ({ options, output, openHome }, path = "") => {
    const home = await openHome();
    const { enrolment } = await home.readConfig();
    const { addLabels } = await import("../../ingest/labels/join.ts");
    const summary = await addLabels({
      paths: [path],
      cacheDir: home.cacheFolder(parseName("--cache", options.cache)),
      secret: await home.hmacSecret(),
      imagesFolder: options.images ?? null,
      ...(enrolment === null ? {} : { profile: inputProfile((await home.joined()).plan) }),
      onProgress: labelProgress(output),
      signal: ports.signal,
    });
    if (summary.matched === 0) throw new ConsiliumError("labels.unmatched");
    output.result(
      { ...summary },
      [...describeLabels(summary), "  next         consilium-site finetune"].join("\n"),
    );
  });
}
