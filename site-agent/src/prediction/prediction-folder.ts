/**
 * Where predictions go: predictions.csv and set-aside.csv, which grow line by line and are whole tables at every moment, and
 * the objects beside them, each there whole or not at all. Whoever stops a run has what it has done.
 */
import path from "node:path";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { openAppender, writeFileAtomic, type Appender } from "../home/files.ts";
import type { Maker, Stamp } from "./dicom/object.ts";
import { dicomOf, masksAsNifti } from "./objects.ts";
import type { Predicted } from "./predict-folder.ts";
import { csv, tableRows, type Cells } from "./table.ts";

export interface Wanted {
  readonly out: string;
  readonly head: Cells;
  readonly classes: readonly string[];
  readonly dicom: boolean;
  readonly nifti: boolean;
  readonly maker: Maker;
  readonly stamp: Stamp;
}

export interface PredictionCounts {
  readonly answered: number;
  /** In predictions.csv, below its head. */
  readonly lines: number;
  /** In set-aside.csv, by reason. */
  readonly setAside: ReadonlyMap<ErrorCode, number>;
  readonly dicom: number;
  readonly nifti: number;
}

interface Tables {
  readonly answers: Appender;
  readonly setAside: Appender;
}

/**
 * An image that was answered, but that no object could be made about, is in both tables. What an earlier run left is replaced
 * with the first outcome.
 * @param onFile is told the number of files that are done
 * @throws what `predicted` throws, disk.full, disk.denied
 */
export async function writePredictions(
  predicted: AsyncIterable<Predicted>,
  wanted: Wanted,
  onFile: (done: number) => void,
): Promise<PredictionCounts> {
  const counts = { answered: 0, lines: 0, dicom: 0, nifti: 0 };
  const setAside = new Map<ErrorCode, number>();
  let tables: Tables | null = null;
  let done = 0;
  try {
    for await (const one of predicted) {
      tables ??= await beginTables(wanted);
      const { relativePath } = one.file;
      let reason = one.outcome === "set-aside" ? one.code : null;
      if (one.outcome === "answered") {
        try {
          for await (const kind of writeObjects(one, wanted)) counts[kind] += 1;
        } catch (error) {
          reason = reasonOf(error);
        }
        const rows = tableRows(relativePath, one.answer, wanted.classes, one.record.spacingUm);
        if (rows.length > 0) await tables.answers.append(line(...rows));
        counts.answered += 1;
        counts.lines += rows.length;
      }
      if (reason !== null) {
        await tables.setAside.append(line([relativePath, reason]));
        setAside.set(reason, (setAside.get(reason) ?? 0) + 1);
      }
      onFile((done += 1));
    }
  } finally {
    await tables?.answers.close();
    await tables?.setAside.close();
  }
  return { ...counts, setAside };
}

async function beginTables({ out, head }: Wanted): Promise<Tables> {
  const begin = async (name: string, cells: Cells): Promise<Appender> => {
    const file = path.join(out, name);
    await writeFileAtomic(file, line(cells));
    return openAppender(file);
  };
  return {
    answers: await begin("predictions.csv", head),
    setAside: await begin("set-aside.csv", ["file", "code"]),
  };
}

const line = (...rows: readonly Cells[]): Uint8Array => Buffer.from(csv(rows));

/** Tells of each when it is on disk. */
async function* writeObjects(
  one: Extract<Predicted, { readonly outcome: "answered" }>,
  { out, classes, dicom, nifti, maker, stamp }: Wanted,
): AsyncGenerator<"dicom" | "nifti", void> {
  const object = dicom ? await dicomOf(one, classes, maker, stamp) : null;
  if (object !== null) {
    await writeFileAtomic(path.join(out, "dicom", `${one.record.image}.dcm`), object);
    yield "dicom";
  }
  if (!nifti) return;
  for await (const { name, bytes } of masksAsNifti(one, classes)) {
    await writeFileAtomic(path.join(out, "nifti", name), bytes);
    yield "nifti";
  }
}

/** @throws the error, if it is not about the file */
function reasonOf(error: unknown): ErrorCode {
  if (error instanceof ConsiliumError && /^(dicom|nifti|volume)\./.test(error.code)) return error.code;
  throw error;
}
