/** Answers as files for other programs. */
import { openNifti, readNiftiFile } from "../ingest/volume/nifti.ts";
import { isNifti, NIFTI_ENDING } from "../ingest/folder.ts";
import type { Stack } from "../ingest/volume/group.ts";
import { answerObject, volumeAnswerObject } from "./dicom/answer-object.ts";
import { readSource, type Maker, type Stamp } from "./dicom/object.ts";
import { readVolumeSource } from "./dicom/volume.ts";
import { affineOf, niftiMask, type Affine } from "./nifti-mask.ts";
import type { Predicted } from "./predict-folder.ts";

type Answered = Extract<Predicted, { readonly outcome: "answered" }>;

/** Null for NIfTI: there is no patient to whose study an object could belong. @throws dicom.no-object */
export async function dicomOf(
  { file, record, answer, stack }: Answered,
  classes: readonly string[],
  maker: Maker,
  stamp: Stamp,
): Promise<Uint8Array | null> {
  if (stack !== undefined)
    return volumeAnswerObject(await readVolumeSource(stack), answer, classes, maker, stamp);
  if (isNifti(file)) return null;
  return answerObject(await readSource(file.path), answer, record, classes, maker, stamp);
}

/**
 * Of a volume's masks one file a class, made in turn; nothing of other answers. The names are those by which ingest takes masks as
 * labels: the NIfTI file's, with its folders, or the series' UID, before the class.
 * @throws dicom.no-object
 */
export async function* masksAsNifti(
  { file, record, answer, stack }: Answered,
  classes: readonly string[],
): AsyncGenerator<{ readonly name: string; readonly bytes: Uint8Array }, void> {
  if (answer.kind !== "volume-masks") return;
  const affine: Affine = stack === undefined ? openNifti(readNiftiFile(file.path)).affine : affineOf(stack);
  const name =
    stack === undefined ? file.relativePath.replace(NIFTI_ENDING, "") : await uidOf(stack, record.image);
  for (const [c, label] of classes.entries())
    yield { name: `${name}_${label}.nii.gz`, bytes: niftiMask(answer.maskOf(c), answer.size, affine) };
}

/** Of the series, or of the one file that the volume was in; the key of what is neither. */
async function uidOf({ key, slices: [lowest, ...others] }: Stack, image: string): Promise<string> {
  const { sopInstanceUid, seriesInstanceUid } = await readSource(lowest.file.path);
  const isOneFile = others.every(({ file }) => file.path === lowest.file.path);
  const uid = isOneFile ? sopInstanceUid : seriesInstanceUid;
  return key === lowest.series && /^[0-9.]+$/.test(uid) ? uid : image;
}
