import { ConsiliumError } from "@consilium/shared/errors";
import { counted } from "@consilium/shared/units";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { ensureFolder } from "../../home/files.ts";
import { readTaskModel, type TaskModel } from "../../home/task-models.ts";
import { SOFTWARE } from "../../software.ts";
import { handle, siteCommand } from "../context.ts";
import { chooseEngine, withEngineOptions, type EngineCliOptions } from "../engine-options.ts";
import { plannedImages } from "../planned-images.ts";
import type { CliPorts } from "../ports.ts";

interface Options extends EngineCliOptions {
  readonly model: string;
  readonly out: string;
  readonly dicom?: boolean;
  readonly nifti?: boolean;
  readonly niftiModality: string;
}

export function predictCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "predict",
    "Ask a network that finetune --save kept about new images.",
    `Reads a folder of DICOM as ingest does and writes predictions.csv: class probabilities, boxes or mask areas, in pixels of
the original. Under a plan for volumes it puts series together and reads NIfTI, a volume each. With --dicom also one object an
image or series for the archive: a DICOM SEG of masks, a structured report (TID 1500) of boxes and classes; asked again, the
same network's objects replace the earlier ones. With --nifti masks of volumes as NIfTI, one file a class. Files that cannot be
read, or that no object could be made about, are listed in set-aside.csv with the reason. Both tables grow line by line: whoever stops
the command has what it has done. The output names your files and, as DICOM, your patients: it is for this hospital alone, and
nothing of it is sent anywhere. It is not a medical device.`,
    `consilium-site predict /data/new --model lungs --out predictions --dicom
     consilium-site predict /data/new-ct --model liver --out predictions --dicom --nifti
     consilium-site finetune --task segmentation --save lungs
     storescu -aec ARCHIVE archive.example.org 104 +sd predictions/dicom`,
  )
    .argument("<folder>", "folder of DICOM files, or of volumes as DICOM or NIfTI")
    .requiredOption("--model <name>", "name that finetune --save gave")
    .requiredOption("--out <dir>", "folder to write to")
    .option("--dicom", "write a DICOM object for each image or series as well")
    .option("--nifti", "write masks of volumes as NIfTI as well")
    .option("--nifti-modality <term>", "what NIfTI files hold, as for ingest: CT, MR, ...", "OT");
  return handle<Options>(withEngineOptions(command, ports), ports, async (context, folder = "") => {
    const { options, output, openHome } = context;
    const home = await openHome();
    const name = parseName("--model", options.model);
    const { about, checkpoint } = await readTaskModel(home, name);
    const { sizePx: cachePx, profile } = await plannedImages(home, undefined);
    const ofVolumes = profile.volume !== null;
    assertFits(options, about, ofVolumes);
    const engineSettings = await chooseEngine(options, output);
    const { createEngine } = await import("../../engine/engine.ts");
    const { vitConfig } = await import("../../model/sizes.ts");
    const { predictFolder } = await import("../../prediction/predict-folder.ts");
    const { predictVolumes } = await import("../../prediction/predict-volumes.ts");
    const { tableHead } = await import("../../prediction/table.ts");
    const { writePredictions } = await import("../../prediction/prediction-folder.ts");
    await ensureFolder(options.out);
    const predicted = (ofVolumes ? predictVolumes : predictFolder)({
      folder,
      secret: await home.hmacSecret(),
      cachePx,
      profile,
      config: vitConfig(about.model),
      trained: about,
      checkpoint,
      engine: await createEngine(engineSettings),
      niftiModality: options.niftiModality,
      threads: options.threads,
      signal: ports.signal,
    });
    const { answered, lines, setAside, ...written } = await writePredictions(
      predicted,
      {
        out: options.out,
        head: tableHead(about, ofVolumes),
        classes: about.classes,
        dicom: options.dicom === true,
        nifti: options.nifti === true,
        maker: { model: name, sha256: about.sha256, software: SOFTWARE },
        stamp: stampOf(ports.nowMs()),
      },
      (done) => {
        output.progress({
          kind: "predict",
          text: counted(done, "file"),
          data: { phase: "predicting", done },
        });
      },
    );
    if (answered === 0) throw new ConsiliumError("ingest.no-dicom");
    output.result(
      {
        task: about.task,
        classes: about.classes,
        images: answered,
        setAside: Object.fromEntries(setAside),
        lines,
        ...written,
      },
      [
        `${counted(answered, ofVolumes ? "volume" : "image")}, ${counted(lines, "line")} in predictions.csv.`,
        ...[...setAside].map(([code, count]) => `  set aside: ${counted(count, "file")}, ${code}`),
        ...(options.dicom === true
          ? [`  ${counted(written.dicom, "DICOM object")} in the folder dicom.`]
          : []),
        ...(options.nifti === true ? [`  ${counted(written.nifti, "mask")} in the folder nifti.`] : []),
      ].join("\n"),
    );
  });
}

/** @throws config.invalid for NIfTI of what is no mask of a volume, and for a network of another kind of image than the plan's */
function assertFits({ nifti }: Options, { task, model }: TaskModel, ofVolumes: boolean): void {
  if ((model.dimensions === 3) !== ofVolumes) {
    throw new ConsiliumError("config.invalid", {
      detail: ofVolumes
        ? "(the network is of images, and the plan of volumes)"
        : "(the network is of volumes, and the plan of images)",
      culprits: ["model"],
    });
  }
  if (nifti === true && !(ofVolumes && task === "segmentation")) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--nifti: for masks of volumes)",
      culprits: ["nifti"],
    });
  }
}

/** As DICOM writes dates and times, in UTC. */
function stampOf(nowMs: number): { readonly date: string; readonly time: string } {
  const digits = new Date(nowMs).toISOString().replaceAll(/\D/g, "");
  return { date: digits.slice(0, 8), time: digits.slice(8, 14) };
}
