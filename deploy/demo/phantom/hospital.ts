/** Writes a made-up hospital to disk: dicom/NN/*.dcm, labels.csv, boxes.csv and masks/. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode as encodePng } from "fast-png";
import { Random } from "../../../site-agent/src/dataset/random.ts";
import { drawPhysique, drawPose, type Physique, type Pose } from "./anatomy.ts";
import { lungBoxes, opacityBoxes, type Box } from "./boxes.ts";
import { loadCodecs, writeImage, writeReport, type Header } from "./dicom.ts";
import { expose } from "./film.ts";
import { drawOpacities, type Opacity } from "./opacity.ts";
import { project, type Projection } from "./thorax.ts";
import { HOSPITALS, type Hospital, type Scanner } from "./vendors.ts";

export interface PhantomOptions {
  readonly seed: number;
  /** Images per hospital on average; the hospitals differ in size. */
  readonly images: number;
}

export interface Picture {
  readonly header: Header;
  readonly scanner: Scanner;
  readonly projection: Projection;
  readonly film: Float32Array;
  readonly label: "normal" | "opacity";
}

/** Images that `makeHospital` will write. */
export const imagesOf = (hospital: Hospital, images: number): number =>
  Math.max(8, Math.round(images * hospital.share));

const IMAGES_PER_FOLDER = 50;

/** Writes every hospital and `test` into `folder`, one after the other; see make.ts for several at once. */
export async function makeHospitals(folder: string, options: PhantomOptions): Promise<void> {
  for (const hospital of HOSPITALS) await makeHospital(join(folder, hospital.name), hospital, options);
}

/** Writes one hospital to `folder`, which is made. */
export async function makeHospital(
  folder: string,
  hospital: Hospital,
  options: PhantomOptions,
  onImage: () => void = () => undefined,
): Promise<void> {
  await loadCodecs();
  await mkdir(join(folder, "masks"), { recursive: true });
  const labels: string[] = ["sop_instance_uid,patient_id,label"];
  const boxes: string[] = ["sop_instance_uid,label,x,y,width,height"];
  let written = 0;
  let last: Uint8Array | undefined;
  let header: Header | undefined;
  for (const picture of pictures(hospital, options)) {
    const uid = picture.header.sopInstanceUid;
    const group = join(folder, "dicom", String(Math.floor(written / IMAGES_PER_FOLDER)).padStart(2, "0"));
    if (written % IMAGES_PER_FOLDER === 0) await mkdir(group, { recursive: true });
    last = writeImage(picture.header, picture.scanner, picture.film);
    await writeFile(join(group, `${uid}.dcm`), last);
    await writeFile(join(folder, "masks", `${uid}.png`), maskPng(picture.projection));
    labels.push([uid, picture.header.patientId, picture.label].join(","));
    for (const box of [...lungBoxes(picture.projection), ...opacityBoxes(picture.projection)]) {
      boxes.push(boxRow(uid, box));
    }
    header = picture.header;
    written++;
    onImage();
  }
  await writeFile(join(folder, "labels.csv"), `${labels.join("\n")}\n`);
  await writeFile(join(folder, "boxes.csv"), `${boxes.join("\n")}\n`);
  if (last !== undefined && header !== undefined)
    await writeBadFiles(join(folder, "dicom", "00"), last, header);
}

/** The pictures of one hospital, in order; all that is random follows from the seed and the hospital's name. */
export function* pictures(hospital: Hospital, { seed, images }: PhantomOptions): Generator<Picture> {
  const random = new Random(seed, ...Buffer.from(hospital.name));
  const total = imagesOf(hospital, images);
  let made = 0;
  while (made < total) {
    const patient = drawPatient(random);
    // Most patients have one picture; some come back.
    const visits = random.uniform() < 0.75 ? 1 : 2 + random.below(2);
    for (let visit = 0; visit < visits && made < total; visit++, made++) {
      const scanner = hospital.scanners[made % hospital.scanners.length];
      if (scanner === undefined) return;
      yield takePicture(random, hospital, scanner, patient, visit);
    }
  }
}

interface Patient {
  readonly id: string;
  readonly number: number;
  readonly physique: Physique;
  readonly birthDate: string;
  readonly sex: "F" | "M";
}

function drawPatient(random: Random): Patient {
  return {
    id: `CANARY-${random.uint32().toString(16).toUpperCase().padStart(8, "0")}`,
    number: random.below(1_000_000),
    physique: drawPhysique(random),
    birthDate: dateIn(random, 1950, 60),
    sex: random.uniform() < 0.5 ? "F" : "M",
  };
}

function takePicture(
  random: Random,
  hospital: Hospital,
  scanner: Scanner,
  patient: Patient,
  visit: number,
): Picture {
  const upright = drawPose(random);
  const sick = random.uniform() < hospital.prevalence;
  const taken = sick ? atBedside(upright, random) : upright;
  const opacities = sick ? drawOpacities(random, patient.physique, taken) : [];
  const pose = loseVolume(taken, opacities);
  const projection = project(
    { physique: patient.physique, pose, opacities },
    scanner.rows,
    scanner.columns,
    random,
  );
  const number = String(random.below(1_000_000)).padStart(6, "0");
  return {
    header: {
      sopInstanceUid: uid(random),
      studyInstanceUid: uid(random),
      seriesInstanceUid: uid(random),
      patientId: patient.id,
      patientName: `Canary^Phantom${patient.number}`,
      accessionNumber: `CANARYACC${number}`,
      institution: hospital.institution,
      instanceNumber: visit + 1,
      studyDate: dateIn(random, 2015, 8),
      birthDate: patient.birthDate,
      sex: patient.sex,
      view: sick || random.uniform() < 0.2 ? "AP" : "PA",
    },
    scanner,
    projection,
    film: expose(projection, scanner.look, pose, random),
    label: sick ? "opacity" : "normal",
  };
}

/** Most of the sick lie in bed: they breathe in less, the tube is nearer, and the portable one has less dose. */
function atBedside(pose: Pose, random: Random): Pose {
  if (random.uniform() < 0.2) return pose;
  return {
    ...pose,
    inspiration: pose.inspiration - 0.16 * (0.5 + random.uniform()),
    scale: pose.scale * (1.04 + 0.06 * random.uniform()),
    rotation: 1.8 * pose.rotation,
    turn: 1.8 * pose.turn,
    dose: 0.6 * pose.dose,
  };
}

/** A consolidated lung holds less air: its half of the diaphragm stands higher. */
function loseVolume(upright: Pose, opacities: readonly Opacity[]): Pose {
  const load = (side: number): number =>
    opacities.reduce((sum, { u, radiusU }) => sum + (Math.sign(u) === side ? radiusU : 0), 0);
  return { ...upright, rightRise: 0.25 * Math.min(0.6, load(-1)), leftRise: 0.25 * Math.min(0.6, load(1)) };
}

/** A UUID-derived UID (PS3.5 annex B.2), here from seeded bits. */
function uid(random: Random): string {
  let value = 0n;
  for (let i = 0; i < 4; i++) value = (value << 32n) | BigInt(random.uint32());
  return `2.25.${value}`;
}

function dateIn(random: Random, firstYear: number, years: number): string {
  const [year, month, day] = [firstYear + random.below(years), 1 + random.below(12), 1 + random.below(28)];
  return `${year}${String(month).padStart(2, "0")}${String(day).padStart(2, "0")}`;
}

/** Both lungs as a 1-bit PNG of the picture's size. */
function maskPng({ rows, columns, lungs }: Projection): Uint8Array {
  const rowBytes = Math.ceil(columns / 8);
  const bits = new Uint8Array(rowBytes * rows);
  for (let index = 0; index < lungs.length; index++) {
    if ((lungs[index] ?? 0) === 0) continue;
    const column = index % columns;
    const at = Math.floor(index / columns) * rowBytes + (column >> 3);
    bits[at] = (bits[at] ?? 0) | (0x80 >> (column & 7));
  }
  return encodePng({ width: columns, height: rows, data: bits, depth: 1, channels: 1 });
}

const boxRow = (uid: string, box: Box): string =>
  [uid, box.label, box.x, box.y, box.width, box.height].join(",");

/** What every real export has a few of; each must be set aside and none may stop the rest. */
async function writeBadFiles(folder: string, image: Uint8Array, header: Header): Promise<void> {
  const twin = { ...header, sopInstanceUid: `${header.sopInstanceUid}1` };
  await writeFile(join(folder, "bad-truncated.dcm"), image.subarray(0, Math.floor(image.length * 0.6)));
  await writeFile(join(folder, "bad-empty.dcm"), new Uint8Array(0));
  await writeFile(join(folder, "bad-text.dcm"), "CANARY: notes that someone left among the images\n");
  await writeFile(join(folder, "bad-report.dcm"), writeReport(twin));
}
