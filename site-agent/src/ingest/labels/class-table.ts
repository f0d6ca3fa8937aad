/**
 * Classes from a table: one row per image. Either a column `label`, with one class or several divided by `|`, or no such
 * column and several that hold 0 or 1, named after the findings; blank or -1 (uncertain, as CheXpert writes it) is not
 * known, but a blank in a column of nothing but ones is 0. Other columns (patient ids, names) are not read.
 */
import type { ImageFindings } from "../../dataset/findings.ts";
import type { LabelItem } from "./item.ts";
import { ClassNames, columnsOf, invalid, rowsOf, uidOf, UID_COLUMN, type Row } from "./table.ts";

const LABEL_COLUMN = "label";
/** Columns that never name a finding, whatever they hold. */
const NOT_FINDINGS = new Set([UID_COLUMN, "patient_id", "patientid", "sex", "age", "fold", "split", ""]);
export const EXPECTED = `(expected a header line with the columns ${UID_COLUMN} and ${LABEL_COLUMN}, or ${UID_COLUMN} and columns of 0 and 1)`;

/**
 * @param imageOf key of what a row names
 * @throws labels.invalid, naming columns and lines but never a value
 */
export async function* readClassTable(
  path: string,
  imageOf: (name: string) => string,
): AsyncGenerator<LabelItem, void> {
  const columns = await columnsOf(path);
  if (!columns.includes(UID_COLUMN)) throw invalid(EXPECTED);
  const names = new ClassNames();
  const flags = columns.includes(LABEL_COLUMN) ? null : await findingColumns(path, columns);
  const among = flags?.map(({ name }) => name) ?? null;
  const classesOf =
    flags === null
      ? (row: Row): ImageFindings | null => listedClasses(row, names)
      : flaggedClasses(flags, names);
  for await (const row of rowsOf(path, EXPECTED)) {
    const found = classesOf(row);
    // A row without a label is an image that nobody has looked at yet.
    if (found === null) continue;
    const { present, unknown } = found;
    yield { kind: "classes", image: imageOf(uidOf(row)), classes: present, unknown, among };
  }
}

function listedClasses(row: Row, names: ClassNames): ImageFindings | null {
  const text = row.text(LABEL_COLUMN);
  if (text === "") return null;
  const listed = text.split("|").map((name) => names.check(name.trim(), row.line));
  return { present: [...new Set(listed)].sort(), unknown: [] };
}

interface FindingColumn {
  readonly name: string;
  /** Nothing but 1 and blanks: whoever filled it in marked what is there, and a blank is not. */
  readonly marksOnly: boolean;
}

function flaggedClasses(
  columns: readonly FindingColumn[],
  names: ClassNames,
): (row: Row) => ImageFindings | null {
  return (row) => {
    const said = columns.map(({ name, marksOnly }) => ({ name, marksOnly, text: row.text(name) }));
    if (said.every(({ text }) => !isKnown(text))) return null;
    const checked = (some: typeof said) => some.map(({ name }) => names.check(name, row.line));
    return {
      present: checked(said.filter(({ text }) => isSet(text))),
      unknown: checked(said.filter(({ text, marksOnly }) => !marksOnly && !isKnown(text))),
    };
  };
}

const isKnown = (text: string): boolean => text !== "" && Number(text) >= 0;
const isSet = (text: string): boolean => text !== "" && Number(text) === 1;

/** Columns of nothing but 0, 1, -1 and blanks, not all of them blank. @throws labels.invalid if there is none */
async function findingColumns(path: string, columns: readonly string[]): Promise<readonly FindingColumn[]> {
  let candidates = columns.filter((column) => !NOT_FINDINGS.has(column));
  const values = new Map<string, Set<number>>(candidates.map((column) => [column, new Set()]));
  for await (const row of rowsOf(path, EXPECTED)) {
    candidates = candidates.filter((column) => {
      const text = row.text(column);
      if (text !== "") values.get(column)?.add(Number(text));
      return text === "" || [0, 1, -1].includes(Number(text));
    });
  }
  const found = candidates.flatMap((name) => {
    const held = [...(values.get(name) ?? [])];
    return held.length === 0 ? [] : [{ name, marksOnly: held.every((value) => value === 1) }];
  });
  if (found.length === 0) throw invalid(EXPECTED);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
