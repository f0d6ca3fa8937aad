/** A hospital whose series, NIfTI files and masks of volumes say the word CANARY wherever they can say something. */
import path from "node:path";
import { gzipSync } from "node:zlib";
import { writeSegmentation } from "../../site-agent/src/ingest/labels/testing/label-fixture.ts";
import {
  writeCtSeries,
  writeEnhancedCt,
  writeNifti,
  type CtSeries,
} from "../../site-agent/src/ingest/testing/ct-series.ts";
import type { FixtureElement } from "../../site-agent/src/ingest/testing/dicom-fixture.ts";
import { put as putFile, putSlices } from "../../site-agent/src/ingest/testing/volume-folder.ts";
import { niftiMask } from "../../site-agent/src/prediction/nifti-mask.ts";
import { openNifti } from "../../site-agent/src/ingest/volume/nifti.ts";
import { CANARY, plantedSlice, plantedUid, withPlantedStart } from "./canary.ts";

const [SLICES, ROWS, COLUMNS] = [6, 12, 14] as const;
const PIXELS = ROWS * COLUMNS;
/** Series to train on, each of a patient of its own. */
export const SOUND_SERIES = 8;
/** Volumes that ingest makes of the ward, and reasons for which it sets its other files aside. */
export const SOUND_VOLUMES = SOUND_SERIES + 3;
export const ASIDE = [
  "volume.too-few-slices",
  "volume.gap",
  "volume.tilted",
  "volume.repeated",
  "volume.no-position",
  "nifti.unreadable",
  "nifti.unsupported",
  "dicom.truncated",
] as const;

/**
 * @param folder the hospital's; below it `CANARY ward`, `CANARY new` to ask a network about, `CANARY masks`, `CANARY broken masks`
 * and `CANARY *.csv`
 */
export async function plantVolumes(folder: string): Promise<void> {
  const at = (name: string): string =>
    path.join(folder, ...name.split("/").map((part) => `${CANARY} ${part}`));
  const put = (name: string, bytes: Uint8Array | string): Promise<string> => putFile(at(name), bytes);
  const said = plantedSlice();
  /** @param own instead of what slices of the series would say */
  const series = (number: number, own: (n: number) => readonly FixtureElement[] = () => []): CtSeries => ({
    uid: plantedUid(number),
    patient: `${CANARY}-${number}`,
    slices: SLICES,
    rows: ROWS,
    columns: COLUMNS,
    spacingMm: [20, 14, 14 + number / 10],
    elements: (n) => [...said, ...own(n)],
  });
  const putSeries = (place: string, files: readonly Uint8Array[]): Promise<string[]> =>
    putSlices(at(place), files.map(withPlantedStart), (n) => `${CANARY} ${n}.dcm`);

  for (let n = 0; n < SOUND_SERIES; n++) await putSeries(`ward/${n}`, await writeCtSeries(series(n)));
  await put("ward/many.dcm", withPlantedStart(await writeEnhancedCt(series(20))));
  await put("ward/sub-1/t1.nii.gz", gzipSync(plantedNifti(series(21))));

  await putSeries("ward/scout", await writeCtSeries({ ...series(30), slices: 2 }));
  await putSeries("ward/gap", (await writeCtSeries({ ...series(31), slices: 7 })).toSpliced(3, 1));
  const leaning = (n: number): readonly FixtureElement[] => [["00200032", "DS", `0\\${30 * n}\\${20 * n}`]];
  await putSeries("ward/leaning", await writeCtSeries(series(32, leaning)));
  const twice = await writeCtSeries(series(33, () => [["00080018", "UI", plantedUid(3399)]]));
  await putSeries("ward/twice", [...(await writeCtSeries(series(33))), ...twice.slice(0, 1)]);
  const nowhere: readonly FixtureElement[] = [["00200032", "DS", `${CANARY}\\0\\0`]];
  await putSeries("ward/nowhere", await writeCtSeries(series(34, () => nowhere)));
  await putSeries(
    "ward/cut",
    (await writeCtSeries(series(35))).map((file) => file.subarray(0, -40)),
  );
  // A slope that is no number counts as none.
  await putSeries("ward/slope", await writeCtSeries(series(36, () => [["00281053", "DS", CANARY]])));
  const nifti = plantedNifti(series(37));
  await put("ward/cut.nii", nifti.subarray(0, 900));
  await put("ward/broken.nii.gz", gzipSync(nifti).subarray(0, -20));
  await put("ward/time.nii", ofManyTimes(nifti));

  await putSeries("new/40", await writeCtSeries(series(40)));
  await put("new/t1.nii.gz", gzipSync(plantedNifti(series(41))));
  await putSeries("new/gap", (await writeCtSeries({ ...series(42), slices: 7 })).toSpliced(3, 1));
  await put("new/cut.nii", nifti.subarray(0, 900));

  await plantMasks(put, said, series);
}

async function plantMasks(
  put: (name: string, bytes: Uint8Array | string) => Promise<string>,
  said: readonly FixtureElement[],
  series: (number: number) => CtSeries,
): Promise<void> {
  const frames = (number: number) =>
    Array.from({ length: SLICES }, (_, n) => ({ uid: `${plantedUid(number)}.${n + 1}`, segment: 1 }));
  const inside = Array.from({ length: SLICES * PIXELS }, (_, i) => Number(i % COLUMNS < COLUMNS / 2));
  const shape = { type: "BINARY", rows: ROWS, columns: COLUMNS, segments: ["left"] } as const;
  for (let n = 0; n < SOUND_SERIES; n++) {
    const seg = { ...shape, elements: said, frames: frames(n), values: inside };
    await put(`masks/${n}.dcm`, withPlantedStart(await writeSegmentation(seg)));
  }
  const { affine } = openNifti(writeNifti(series(21)));
  await put("masks/t1_left.nii.gz", niftiMask(Uint8Array.from(inside), [SLICES, ROWS, COLUMNS], affine));
  // A frame that cannot be placed, masks of another size and of other slices, and of a file that is not there.
  const lost = { ...shape, elements: said, frames: [...frames(0).slice(1), { uid: "", segment: 1 }] };
  await put("broken masks/lost.dcm", withPlantedStart(await writeSegmentation({ ...lost, values: inside })));
  const small = { ...shape, rows: ROWS / 2, frames: frames(1), values: inside.slice(inside.length / 2) };
  await put("broken masks/small.dcm", withPlantedStart(await writeSegmentation(small)));
  const strange = { ...shape, frames: frames(99), values: inside };
  await put("broken masks/strange.dcm", withPlantedStart(await writeSegmentation(strange)));
  await put("broken masks/none.nii.gz", niftiMask(Uint8Array.from(inside), [SLICES, ROWS, COLUMNS], affine));
  const rows = Array.from(
    { length: SOUND_SERIES },
    (_, n) => `${plantedUid(n)},${CANARY}-${n},${CANARY}^Name,${n % 2 === 0 ? "normal" : "abnormal"}`,
  );
  const header = "sop_instance_uid,patient_id,patient_name,label";
  await put("classes.csv", [header, ...rows].join("\n"));
}

/** NIfTI-1 with the word in each of its free texts, and in an extension behind the header. */
function plantedNifti(series: CtSeries): Uint8Array {
  const file = Buffer.from(writeNifti(series));
  const extension = Buffer.alloc(32);
  extension.writeInt32LE(32, 0);
  extension.writeInt32LE(6, 4); // a comment
  extension.write(`${CANARY} ${CANARY}`, 8, "latin1");
  const bytes = Buffer.concat([file.subarray(0, 352), extension, file.subarray(352)]);
  bytes.writeFloatLE(352 + extension.length, 108);
  bytes.writeUInt8(1, 348);
  // data_type, db_name, descrip, aux_file and intent_name
  for (const [at, length] of [
    [4, 10],
    [14, 18],
    [148, 80],
    [228, 24],
    [328, 16],
  ] as const)
    bytes.write(CANARY.padEnd(length, " "), at, "latin1");
  return bytes;
}

/** As if there were two volumes in it. */
function ofManyTimes(nifti: Uint8Array): Uint8Array {
  const bytes = Buffer.from(nifti);
  bytes.writeInt16LE(4, 40);
  bytes.writeInt16LE(2, 48);
  return bytes;
}
