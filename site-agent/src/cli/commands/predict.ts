import path from "node:path";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { counted } from "@consilium/shared/units";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { ensureFolder, writeFileAtomic } from "../../home/files.ts";
import { readTaskModel } from "../../home/task-models.ts";
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
}

export function predictCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "predict",
    "Ask a network that finetune --save kept about new images.",
    `Reads a folder of DICOM as ingest does and writes predictions.csv: class probabilities, boxes or mask areas, in pixels of
the original. With --dicom also one object an image for the archive: a DICOM SEG of masks, a structured report (TID 1500) of
boxes and classes; asked again, the same network's objects replace the earlier ones. Files that cannot be read are listed in
set-aside.csv with the reason. The output names your files and, as DICOM, your patients: it is for this hospital alone, and
nothing of it is sent anywhere. It is not a medical device.`,
    `consilium-site predict /data/new --model lungs --out predictions --dicom
     consilium-site finetune --task segmentation --save lungs
     storescu -aec ARCHIVE archive.example.org 104 +sd predictions/dicom`,
  )
    .argument("<folder>", "folder of DICOM files")
    .requiredOption("--model <name>", "name that finetune --save gave")
    .requiredOption("--out <dir>", "folder to write to")
    .option("--dicom", "write a DICOM object for each image as well");
  return handle<Options>(withEngineOptions(command, ports), ports, async (context, folder = "") => {
    const { options, output, openHome } = context;
    const home = await openHome();
    const name = parseName("--model", options.model);
    const { about, checkpoint } = await readTaskModel(home, name);
    const { sizePx: cachePx, profile } = await plannedImages(home, undefined);
    const engineSettings = await chooseEngine(options, output);
    const { createEngine } = await import("../../engine/engine.ts");
    const { vitConfig } = await import("../../model/sizes.ts");
    const { predictFolder } = await import("../../prediction/predict-folder.ts");
    const { csv, tableHead, tableRows } = await import("../../prediction/table.ts");
    const { answerObject } = await import("../../prediction/dicom/answer-object.ts");
    const { readSource } = await import("../../prediction/dicom/object.ts");
    const maker = { model: name, sha256: about.sha256, software: SOFTWARE };
    const stamp = stampOf(ports.nowMs());
    const objects = path.join(options.out, "dicom");
    await ensureFolder(options.dicom === true ? objects : options.out);

    const rows: Cells[] = [tableHead(about)];
    const setAside: Cells[] = [["file", "code"]];
    const codes = new Map<ErrorCode, number>();
    let answered = 0;
    const predicted = predictFolder({
      folder,
      secret: await home.hmacSecret(),
      cachePx,
      profile,
      config: vitConfig(about.model),
      trained: about,
      checkpoint,
      engine: await createEngine(engineSettings),
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
        if (options.dicom === true) {
          const source = await readSource(one.file.path);
          const object = answerObject(source, answer, record, about.classes, maker, stamp);
          await writeFileAtomic(path.join(objects, `${record.image}.dcm`), object);
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
        dicom: options.dicom === true ? answered : 0,
      },
      [
        `${counted(answered, "image")}, ${counted(rows.length - 1, "line")} in predictions.csv.`,
        ...[...codes].map(([code, count]) => `  set aside: ${counted(count, "file")}, ${code}`),
        ...(options.dicom === true ? [`  ${counted(answered, "DICOM object")} in the folder dicom.`] : []),
      ].join("\n"),
    );
  });
}

/** As DICOM writes dates and times, in UTC. */
function stampOf(nowMs: number): { readonly date: string; readonly time: string } {
  const digits = new Date(nowMs).toISOString().replaceAll(/\D/g, "");
  return { date: digits.slice(0, 8), time: digits.slice(8, 14) };
}
