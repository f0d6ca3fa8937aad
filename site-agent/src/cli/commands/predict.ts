import path from "node:path";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { counted } from "@consilium/shared/units";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { ensureFolder, writeFileAtomic } from "../../home/files.ts";
import { readTaskModel, type TaskModel } from "../../home/task-models.ts";
import type { Cells } from "../../prediction/table.ts";
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
read are listed in set-aside.csv with the reason. The output names your files and, as DICOM, your patients: it is for this hospital alone, and
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
    const { csv, tableHead, tableRows } = await import("../../prediction/table.ts");
    const { dicomOf, masksAsNifti } = await import("../../prediction/objects.ts");
    const maker = { model: name, sha256: about.sha256, software: SOFTWARE };
    const stamp = stampOf(ports.nowMs());
    const write = async (kind: "dicom" | "nifti", file: string, bytes: Uint8Array): Promise<void> => {
      const place = path.join(options.out, kind, file);
      await ensureFolder(path.dirname(place));
      await writeFileAtomic(place, bytes);
    };
    await ensureFolder(options.out);

    const rows: Cells[] = [tableHead(about, ofVolumes)];
    const setAside: Cells[] = [["file", "code"]];
    const codes = new Map<ErrorCode, number>();
    let answered = 0;
    const written = { dicom: 0, nifti: 0 };
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
    for await (const one of predicted) {
      const { relativePath } = one.file;
      if (one.outcome === "set-aside") {
        codes.set(one.code, (codes.get(one.code) ?? 0) + 1);
        setAside.push([relativePath, one.code]);
      } else {
        answered += 1;
        const { record, answer } = one;
        rows.push(...tableRows(relativePath, answer, about.classes, record.spacingUm));
        const object = options.dicom === true ? await dicomOf(one, about.classes, maker, stamp) : null;
        if (object !== null) {
          await write("dicom", `${record.image}.dcm`, object);
          written.dicom += 1;
        }
        const masks = options.nifti === true ? masksAsNifti(one, about.classes) : [];
        for await (const { name: file, bytes } of masks) {
          await write("nifti", file, bytes);
          written.nifti += 1;
        }
      }
      const done = answered + setAside.length - 1;
      output.progress({
        kind: "predict",
        text: counted(done, "file"),
        data: { phase: "predicting", done },
      });
    }
    if (answered === 0) {
      throw new ConsiliumError("ingest.no-dicom");
    }
    await writeFileAtomic(path.join(options.out, "predictions.csv"), csv(rows));
    await writeFileAtomic(path.join(options.out, "set-aside.csv"), csv(setAside));
    output.result(
      {
        task: about.task,
        classes: about.classes,
        images: answered,
        setAside: Object.fromEntries(codes),
        lines: rows.length - 1,
        ...written,
      },
      [
        `${counted(answered, ofVolumes ? "volume" : "image")}, ${counted(rows.length - 1, "line")} in predictions.csv.`,
        ...[...codes].map(([code, count]) => `  set aside: ${counted(count, "file")}, ${code}`),
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
