/**
 * Classes from a table: one row per image. Either a column `label`, with one class or several divided by `|`, or no such
 * column and several that hold 0 or 1, named after the findings. Other columns (patient ids, names) are not read.
 */
import { imageKey } from "../../dataset/keys.ts";
import type { LabelItem } from "./item.ts";
import { ClassNames, columnsOf, invalid, rowsOf, uidOf, UID_COLUMN, type Row } from "./table.ts";

const LABEL_COLUMN = "label";
/** Columns that never name a finding, whatever they hold. */
const NOT_FINDINGS = new Set([UID_COLUMN, "patient_id", "patientid", "sex", "age", "fold", "split", ""]);
export const EXPECTED = `(expected a header line with the columns ${UID_COLUMN} and ${LABEL_COLUMN}, or ${UID_COLUMN} and columns of 0 and 1)`;

/** @throws labels.invalid, naming columns and lines but never a value */
export async function* readClassTable(path: string, secret: Uint8Array): AsyncGenerator<LabelItem, void> {
  const columns = await columnsOf(path);
  if (!columns.includes(UID_COLUMN)) throw invalid(EXPECTED);
  const names = new ClassNames();
  const classesOf = columns.includes(LABEL_COLUMN)
    ? (row: Row): readonly string[] | null => listedClasses(row, names)
    : flaggedClasses(await findingColumns(path, columns), names);
  for await (const row of rowsOf(path, EXPECTED)) {
    const classes = classesOf(row);
    // A row without a label is an image that nobody has looked at yet.
    if (classes !== null) yield { kind: "classes", image: imageKey(secret, uidOf(row)), classes };
  }
}

function listedClasses(row: Row, names: ClassNames): readonly string[] | null {
  const text = row.text(LABEL_COLUMN);
  if (text === "") return null;
  return [...new Set(text.split("|").map((name) => names.check(name.trim(), row.line)))].sort();
}

function flaggedClasses(
  columns: readonly string[],
  names: ClassNames,
): (row: Row) => readonly string[] | null {
  return (row) => {
    const isBlank = columns.every((column) => row.text(column) === "");
    if (isBlank) return null;
    return columns.filter((column) => isSet(row.text(column))).map((column) => names.check(column, row.line));
  };
}

const isSet = (text: string): boolean => text !== "" && Number(text) === 1;

/** Columns of nothing but 0, 1 and blanks, with a 1 or 0 in them. @throws labels.invalid if there is none */
async function findingColumns(path: string, columns: readonly string[]): Promise<readonly string[]> {
  let candidates = columns.filter((column) => !NOT_FINDINGS.has(column));
  const filled = new Set<string>();
  for await (const row of rowsOf(path, EXPECTED)) {
    candidates = candidates.filter((column) => {
      const text = row.text(column);
      if (text !== "") filled.add(column);
      return text === "" || [0, 1].includes(Number(text));
    });
  }
  const found = candidates.filter((column) => filled.has(column)).sort();
  if (found.length === 0) throw invalid(EXPECTED);
  return found;
}
