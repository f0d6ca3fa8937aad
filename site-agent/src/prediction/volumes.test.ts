import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { concatenate } from "@consilium/shared/vector";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { imageKey } from "../dataset/keys.ts";
import { initialClassifierHead } from "../downstream/classifier.ts";
import { initialSegmentationHead } from "../downstream/segmentation/network.ts";
import { taskInference, type TrainedTask } from "../downstream/trained-network.ts";
import { createEngine } from "../engine/engine.ts";
import { itemsOf, secret } from "../ingest/labels/testing/label-fixture.ts";
import { SAGITTAL, writeEnhancedCt, writeNifti, type CtSeries } from "../ingest/testing/ct-series.ts";
import { put, putSeries, volumeProfile } from "../ingest/testing/volume-folder.ts";
import { GridFiller } from "../ingest/volume/grid.ts";
import { openNifti } from "../ingest/volume/nifti.ts";
import type { Vector } from "../ingest/volume/vector.ts";
import { unzipped } from "../ingest/nifti-file.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { vitParameters } from "../model/vit.ts";
import { maskOnOriginal } from "./grid-masks.ts";
import { dcmjs } from "./dicom/dcmjs.ts";
import { Handover } from "./handover.ts";
import { dicomOf, masksAsNifti } from "./objects.ts";
import type { Predicted } from "./predict-folder.ts";
import { predictVolumes } from "./predict-volumes.ts";
import { csv, tableHead, tableRows } from "./table.ts";

const SIZE = 16;
const PROFILE = volumeProfile({
  cachePx: SIZE,
  volume: { depthPx: 8, sliceSpacingMm: 20, pixelSpacingMm: 14 },
});
const config: VitConfig = {
  imagePx: 16,
  patchPx: 8,
  channels: 1,
  volume: { depthPx: 8, patchDepthPx: 4 },
  width: 16,
  depth: 1,
  heads: 2,
};
const axial: CtSeries = { uid: "2.25.100", slices: 12, rows: 18, columns: 20, spacingMm: [14, 10, 10] };
const maker = { model: "lungs", sha256: "ab".repeat(32), software: "test" };
const stamp = { date: "20261126", time: "120000" };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-predict-volumes-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("masks on the original's voxels", () => {
  const planned = { depthPx: 6, sliceSpacingMm: 4, pixelSpacingMm: 3 };
  const axes: readonly Vector[] = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  const directions = fc
    .tuple(
      fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
      fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    )
    .map(([order, signs]) =>
      order.map((axis, i) => (axes[axis] ?? axes[0] ?? []).map((v) => (signs[i] === true ? -v : v) + 0)),
    );

  it("are those that were laid on the grid, whichever way the volume lies, where the grid is its own", () => {
    fc.assert(
      fc.property(directions, fc.infiniteStream(fc.boolean()), (lie, bits) => {
        const [a, b, c] = lie as unknown as readonly [Vector, Vector, Vector];
        const along = [a, b, c].map((v) => v.findIndex((x) => x !== 0));
        const counts = along.map((axis) => (axis === 2 ? planned.depthPx : 5)) as [number, number, number];
        const spacingMm = along.map((axis) => (axis === 2 ? 4 : 3)) as [number, number, number];
        const source = { counts, spacingMm, directions: [a, b, c] as const };
        const [slices, rows, columns] = counts;
        const truth = Uint8Array.from({ length: slices * rows * columns }, () => Number(bits.next().value));
        const filler = new GridFiller(source, 5, planned);
        for (let slice = 0; slice < slices; slice++)
          filler.add(
            slice,
            Float32Array.from(truth.subarray(slice * rows * columns, (slice + 1) * rows * columns)),
          );
        const said = { values: filler.finish().values, classes: 1, sizePx: 5, planned };
        expect(maskOnOriginal(said, { ...source, shifts: null }, 0)).toEqual(truth);
      }),
      { numRuns: 30 },
    );
  });

  it("say nothing beyond the grid, and follow slices that were moved", () => {
    const source = {
      counts: [6, 9, 9],
      spacingMm: [4, 3, 3],
      directions: [
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
      ],
    } as const;
    const everywhere = { values: new Float32Array(6 * 25).fill(1), classes: 1, sizePx: 5, planned };
    const rowsIn = (mask: Uint8Array, slice: number): number[] =>
      Array.from({ length: 9 }, (_, row) => row).filter((row) => mask[(slice * 9 + row) * 9 + 4] === 1);
    const straight = maskOnOriginal(everywhere, { ...source, shifts: null }, 0);
    expect(rowsIn(straight, 0)).toEqual([2, 3, 4, 5, 6]);
    const shifts = Array.from({ length: 6 }, (_, i) => [i - 1, 0] as const);
    const leaning = maskOnOriginal(everywhere, { ...source, shifts }, 0);
    expect(rowsIn(leaning, 0)).toEqual([3, 4, 5, 6, 7]);
    expect(rowsIn(leaning, 3)).toEqual([0, 1, 2, 3, 4]);
  });
});

describe("hand to hand", () => {
  it("goes what is given, in order, and how the work ends", async () => {
    const handover = new Handover<number>();
    const seen: string[] = [];
    const work = async (): Promise<void> => {
      for (const n of [1, 2]) {
        await handover.give(n);
        seen.push(`gave ${n}`);
      }
      throw new Error("over");
    };
    const taking = async (): Promise<void> => {
      for await (const n of handover.until(work())) seen.push(`took ${n}`);
    };
    await expect(taking()).rejects.toThrow("over");
    expect(seen).toEqual(["took 1", "gave 1", "took 2", "gave 2"]);
  });
});

describe("a folder of volumes", () => {
  let images: string;
  beforeAll(async () => {
    images = path.join(folder, "images");
    await putSeries(images, axial, (n) => `${(n * 7) % 12}-slice.dcm`);
    await put(path.join(images, "enhanced.dcm"), await writeEnhancedCt({ ...axial, uid: "2.25.200" }));
    const sagittal = { ...axial, directions: SAGITTAL, spacingMm: [14, 11, 12] as const };
    await put(path.join(images, "sub-01", "t1.nii"), writeNifti(sagittal));
    await put(path.join(images, "z.txt"), "no image");
  });

  async function ask(trained: TrainedTask, head: Float32Array): Promise<Predicted[]> {
    const { parameters } = taskInference(trained, {
      config,
      cached: { sizePx: SIZE, depthPx: 8 },
      batchSize: 1,
    });
    const values = concatenate([initialWeights(vitParameters(config), 1), head]);
    const found: Predicted[] = [];
    const predicted = predictVolumes({
      folder: images,
      secret,
      cachePx: SIZE,
      profile: PROFILE,
      config,
      trained,
      checkpoint: { manifest: manifestOf(parameters), values },
      engine: await createEngine({ threads: 1, device: "cpu" }),
      niftiModality: "CT",
      threads: 1,
    });
    for await (const one of predicted) found.push(one);
    return found;
  }

  it("is answered volume by volume, a report over each series", async () => {
    const trained: TrainedTask = { task: "classification", classes: ["no", "yes"], head: null };
    const found = await ask(trained, initialClassifierHead(config, 2, 1));
    expect(found.map(({ file, outcome }) => [file.relativePath, outcome])).toEqual([
      ["sub-01/t1.nii", "answered"],
      ["z.txt", "set-aside"],
      ["0-slice.dcm", "answered"],
      ["enhanced.dcm", "answered"],
    ]);
    for (const one of found) {
      if (one.outcome !== "answered") continue;
      const [row] = tableRows("a", one.answer, trained.classes, undefined);
      expect(Number(row?.[2]) + Number(row?.[3])).toBeCloseTo(1, 3);
      const object = await dicomOf(one, trained.classes, maker, stamp);
      expect(object === null).toBe(one.file.relativePath.endsWith(".nii"));
      if (object !== null) await expectWellFormed(path.join(folder, "report.dcm"), object);
    }

    // As if the one file held two volumes: neither's report replaces the other's in an archive.
    const enhanced = found.find(({ file }) => file.relativePath === "enhanced.dcm");
    if (enhanced?.outcome !== "answered" || enhanced.stack === undefined) throw new Error("no stack");
    const { stack } = enhanced;
    const uids: unknown[] = [];
    const parts: (typeof stack.slices)[number][][] = [
      [...stack.slices],
      stack.slices.slice(6),
      stack.slices.slice(0, 6),
    ];
    for (const [first, ...others] of parts) {
      if (first === undefined) throw new Error("no slices");
      const one = { ...enhanced, stack: { ...stack, slices: [first, ...others] as const } };
      const object = await dicomOf(one, trained.classes, maker, stamp);
      const { DicomMessage, DicomMetaDictionary } = dcmjs().data;
      const { dict } = DicomMessage.readFile(new Uint8Array(object ?? []).buffer, {
        ignoreErrors: true,
        untilTag: "7FE00010",
      });
      uids.push(DicomMetaDictionary.naturalizeDataset(dict)["SOPInstanceUID"]);
    }
    expect(uids[1]).not.toBe(uids[0]);
    expect(uids[2]).toBe(uids[0]);
  });

  it("is segmented on its own voxels, as DICOM over the series and as NIfTI where the volume lies", async () => {
    const trained: TrainedTask = { task: "segmentation", classes: ["lung", "heart"], head: "linear" };
    // Halves of each patch, whatever the image.
    const head = initialSegmentationHead(config, "linear", 2, 1);
    const biases = head.subarray(head.length - 4 * 8 * 8 * 2);
    for (const i of biases.keys()) biases[i] = i % 2 === 0 ? 3 * Math.sin(i / 37) : -5;
    const found = await ask(trained, head);
    for (const one of found) {
      if (one.outcome !== "answered") continue;
      const { answer, stack, record } = one;
      if (answer.kind !== "volume-masks") throw new Error("no masks");
      const lung = answer.maskOf(0);
      const voxels = lung.reduce((sum, value) => sum + value, 0);
      expect(voxels).toBeGreaterThan(lung.length / 8);
      expect(answer.maskOf(1).some(Boolean)).toBe(false);
      const table = csv([tableHead(trained, true), ...tableRows("a", answer, trained.classes, undefined)]);
      const volume = one.file.relativePath === "sub-01/t1.nii" ? 14 * 11 * 12 : 1400;
      expect(table).toBe(
        `file,class,voxels,volume_mm3\na,lung,${voxels},${(voxels * volume).toFixed(1)}\na,heart,0,0.0\n`,
      );

      const { value: first } = await masksAsNifti(one, trained.classes).next();
      const read = openNifti(unzipped(first?.bytes ?? new Uint8Array()));
      expect(read.source.counts).toEqual(answer.size);
      const planes = Array.from({ length: answer.size[0] }, (_, slice) => [...read.plane(slice)]).flat();
      expect(planes).toEqual([...lung]);
      if (stack === undefined) {
        expect(first?.name).toBe("sub-01/t1_lung.nii.gz");
        continue;
      }
      const lie = [stack.normal, [0, 1, 0], [1, 0, 0]];
      expect(read.source.directions.map((direction) => direction.map((v) => Math.round(v) + 0))).toEqual(lie);

      const object = (await dicomOf(one, trained.classes, maker, stamp)) ?? new Uint8Array();
      await expectWellFormed(path.join(folder, "masks.dcm"), object);
      const items = await itemsOf(folder, object);
      if (record.image !== imageKey(secret, axial.uid)) continue;
      expect(first?.name).toBe("2.25.100_lung.nii.gz");
      for (const [slice, { key }] of stack.slices.entries()) {
        const own = lung.slice(slice * 360, (slice + 1) * 360);
        const mask = items.find((item) => item.kind === "mask" && item.image === key);
        const values = mask?.kind === "mask" ? mask.mask.values : new Float32Array(360);
        expect(Array.from(values, (v) => Number(v > 0))).toEqual([...own]);
        expect(items).toContainEqual({
          kind: "looked-at",
          image: key,
          at: "masks",
          among: expect.anything() as string[],
        });
      }
    }
  });
});

/** dcmtk reads it, and dciodvfy finds no error, where they are installed. */
async function expectWellFormed(file: string, bytes: Uint8Array): Promise<void> {
  await writeFile(file, bytes);
  const dump = spawnSync("dcmdump", [file], { encoding: "utf8" });
  if (dump.status !== null) expect(dump.stderr).toBe("");
  const check = spawnSync("dciodvfy", [file], { encoding: "utf8" });
  if (check.status !== null)
    expect(check.stderr.split("\n").filter((line) => /^Error/.test(line))).toEqual([]);
}
