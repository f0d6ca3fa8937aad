import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import { concatenate } from "@consilium/shared/vector";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageKey } from "../dataset/keys.ts";
import { initialClassifierHead } from "../downstream/classifier.ts";
import { initialLocalizationHead } from "../downstream/localization/network.ts";
import { initialSegmentationHead } from "../downstream/segmentation/network.ts";
import { taskInference, type TrainedTask } from "../downstream/trained-network.ts";
import { createEngine } from "../engine/engine.ts";
import { itemsOf, secret } from "../ingest/labels/testing/label-fixture.ts";
import { writeDicom } from "../ingest/testing/dicom-fixture.ts";
import { syntheticImage } from "../ingest/testing/synthetic-image.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { answerOf } from "./answer.ts";
import { answerObject } from "./dicom/answer-object.ts";
import { readSource } from "./dicom/object.ts";
import { predictFolder, type Predicted } from "./predict-folder.ts";
import { csv, tableHead, tableRows } from "./table.ts";

const config: VitConfig = { imagePx: 16, patchPx: 4, channels: 1, width: 16, depth: 1, heads: 2 };
const cachePx = 16;
const maker = { model: "lungs", sha256: "ab".repeat(32), software: "0.1.0" };
const stamp = { date: "20261125", time: "143000" };
const SOP = "2.25.4711";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-predict-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** 20 rows, 40 columns: lies in rows 4 to 11 of a square of 16. */
async function imageFile(name: string): Promise<string> {
  const file = path.join(folder, name);
  const image = syntheticImage({ rows: 20, columns: 40 });
  const elements = [
    ["00080018", "UI", SOP],
    ["00100010", "PN", "Müller^Änne"],
    ["00080005", "CS", "ISO_IR 100"],
  ] as const;
  await writeFile(file, await writeDicom(image, { elements }));
  return file;
}

describe("an answer", () => {
  const looked = { rows: 20, columns: 40 };
  const sizes = { cachePx, imagePx: 16 };

  it("of masks lies on the original's pixels", () => {
    const classes = ["whole", "left"];
    const probabilities = new Float32Array(cachePx * cachePx * 2);
    for (let y = 0; y < cachePx; y++)
      for (let x = 0; x < cachePx; x++) {
        probabilities[(y * cachePx + x) * 2] = 1;
        probabilities[(y * cachePx + x) * 2 + 1] = x < 8 ? 1 : 0;
      }
    const answer = answerOf({ task: "segmentation", classes }, { probabilities }, looked, sizes);
    if (answer.kind !== "masks") throw new Error(answer.kind);
    const [whole, left] = answer.masks;
    expect(whole?.every((v) => v === 1)).toBe(true);
    expect(left?.every((v, i) => v === Number(i % 40 < 20))).toBe(true);
    expect(tableRows("a,b.dcm", answer, classes, 500)).toEqual([
      ["a,b.dcm", "whole", 800, "200.0"],
      ["a,b.dcm", "left", 400, "100.0"],
    ]);
  });

  it("of boxes lies on the original, and where a region was looked at, at its place", () => {
    // One sure token: the box from (4, 6) to (12, 10) of the square, which is (10, 5) to (30, 15) of the image.
    const scores = new Float32Array(16);
    scores[5] = 0.9;
    scores[6] = 0.1;
    const boxes = new Float32Array(64);
    boxes.set([4, 6, 12, 10], 20);
    const of = (where: object) =>
      answerOf(
        { task: "localization", classes: ["lung"] },
        { scores, boxes },
        { ...looked, ...where },
        sizes,
      );
    expect(of({})).toMatchObject({ detections: [{ class: 0, left: 10, top: 5, right: 30, bottom: 15 }] });
    expect(tableRows("a.dcm", of({ left: 100, top: 50 }), ["lung"], undefined)).toEqual([
      ["a.dcm", "lung", "0.9000", "110.0", "55.0", "20.0", "10.0"],
    ]);
  });

  it("of classes names the likeliest", () => {
    const task = { task: "classification", classes: ["normal", "=SUM(1)"] } as const;
    const answer = answerOf(task, { probabilities: Float32Array.of(0.25, 0.75) }, looked, sizes);
    expect(csv([tableHead(task), ...tableRows('a"b,c.dcm', answer, task.classes, undefined)])).toBe(
      'file,class,p normal,p =SUM(1)\n"a""b,c.dcm",\'=SUM(1),0.2500,0.7500\n',
    );
  });

  it("of findings has a column each, independent of each other", () => {
    const task = { task: "findings", classes: ["effusion", "nodule"] } as const;
    const answer = answerOf(task, { probabilities: Float32Array.of(0.75, 0.5) }, looked, sizes);
    expect(csv([tableHead(task), ...tableRows("a.dcm", answer, task.classes, undefined)])).toBe(
      "file,p effusion,p nodule\na.dcm,0.7500,0.5000\n",
    );
  });
});

describe("as DICOM", () => {
  const looked = { rows: 20, columns: 40 };

  it("masks become a segmentation that is read back bit for bit, of the same patient and study", async () => {
    const source = await readSource(await imageFile("source.dcm"));
    const masks = [0, 1].map((c) => Uint8Array.from({ length: 800 }, (_, i) => Number((i * 7 + c) % 5 < 2)));
    const object = answerObject(source, { kind: "masks", masks }, looked, ["lung", "heart"], maker, stamp);
    const items = await itemsOf(folder, object);
    const image = imageKey(secret, SOP);
    for (const [c, label] of ["lung", "heart"].entries()) {
      const found = items.find((item) => item.kind === "mask" && item.label === label);
      expect(found).toMatchObject({ kind: "mask", image });
      const values = found?.kind === "mask" ? found.mask.values : [];
      expect(Array.from(values, (v) => Number(v > 0))).toEqual(Array.from(masks[c] ?? []));
    }
    const written = path.join(folder, "written.dcm");
    await writeFile(written, object);
    const again = await readSource(written);
    expect(JSON.stringify(again.dataset.PatientName)).toContain("Müller^Änne");
    expect(again.dataset.StudyInstanceUID).toBe(source.dataset.StudyInstanceUID);
    expect(again.seriesInstanceUid).not.toBe(source.seriesInstanceUid);
    expect(again.sopInstanceUid).toMatch(/^2\.25\.\d{1,39}$/);
  });

  it("boxes become a structured report whose regions are read back, and the same again gives the same UID", async () => {
    const source = await readSource(await imageFile("source.dcm"));
    const box = { class: 0, score: 0.9, left: 10, top: 5, right: 30, bottom: 15 };
    const write = () =>
      answerObject(source, { kind: "boxes", detections: [box] }, looked, ["left lung"], maker, stamp);
    const items = await itemsOf(folder, write());
    expect(items).toEqual([
      {
        kind: "box",
        image: imageKey(secret, SOP),
        box: expect.objectContaining({ label: "left lung", x: 10, y: 5 }) as object,
      },
    ]);
    expect(Buffer.from(write()).equals(write())).toBe(true);
  });

  const dcmdump = spawnSync("dcmdump", ["--version"]).status === 0;
  const reason = dcmdump ? "" : " (skipped: no dcmdump of dcmtk)";
  it.skipIf(!dcmdump)(`objects are read by dcmtk without a complaint${reason}`, async () => {
    const source = await readSource(await imageFile("source.dcm"));
    const answers = [
      { kind: "masks", masks: [new Uint8Array(800).fill(1)] },
      { kind: "boxes", detections: [] },
      { kind: "classes", probabilities: [0.5] },
    ] as const;
    for (const answer of answers) {
      const file = path.join(folder, `${answer.kind}.dcm`);
      await writeFile(file, answerObject(source, answer, looked, ["lung"], maker, stamp));
      const { stdout, stderr } = spawnSync("dcmdump", [file], { encoding: "utf8" });
      expect(stderr).toBe("");
      expect(stdout).toContain("Consilium");
    }
  });
});

describe("a folder", () => {
  const tasks: readonly TrainedTask[] = [
    { task: "classification", classes: ["no", "yes"], head: null },
    { task: "findings", classes: ["effusion", "nodule"], head: null },
    { task: "segmentation", classes: ["lung"], head: "unetr" },
    { task: "localization", classes: ["lung"], head: null },
  ];
  const heads = {
    classification: () => initialClassifierHead(config, 2, 1),
    findings: () => initialClassifierHead(config, 2, 1),
    segmentation: () => initialSegmentationHead(config, "unetr", 1, 1),
    localization: () => initialLocalizationHead(config, 1, 1),
  };

  it.each(tasks)("is answered image by image, in order: $task", async (trained) => {
    const images = await mkdtemp(path.join(folder, "images-"));
    for (const name of ["b.dcm", "a.dcm"])
      await writeFile(path.join(images, name), await writeDicom(syntheticImage({ rows: 20, columns: 40 })));
    await writeFile(path.join(images, "c.txt"), "no image");
    const encoder = initialWeights(vitParameters(config), 1);
    const { parameters } = taskInference(trained, {
      config,
      cached: { sizePx: cachePx, depthPx: 1 },
      batchSize: 1,
    });
    const values = concatenate([encoder, heads[trained.task]()]);
    const checkpoint = { manifest: manifestOf(parameters), values };
    const engine = await createEngine({ threads: 1, device: "cpu" });
    const found: Predicted[] = [];
    const options = { folder: images, secret, cachePx, profile: GREY_IMAGES, config, trained, checkpoint };
    for await (const one of predictFolder({ ...options, engine, threads: 1 })) found.push(one);
    expect(found.map(({ file, outcome }) => [file.relativePath, outcome])).toEqual([
      ["a.dcm", "answered"],
      ["b.dcm", "answered"],
      ["c.txt", "set-aside"],
    ]);
    const [a, b] = found;
    if (a?.outcome !== "answered" || b?.outcome !== "answered") throw new Error("not answered");
    expect(a.answer).toEqual(b.answer);
    if (a.answer.kind === "classes")
      expect(a.answer.probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    if (a.answer.kind === "masks") expect(a.answer.masks[0]).toHaveLength(800);
  });
});
