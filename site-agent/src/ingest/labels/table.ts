/** Rows of a CSV file. Comma, semicolon or tab; a byte order mark and quotes are fine; column names in any case. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { parse } from "csv-parse";
import { ConsiliumError } from "@consilium/shared/errors";
import { labelTextSchema } from "@consilium/shared/label-text";

export const UID_COLUMN = "sop_instance_uid";
/** A column with more distinct values than this holds names or findings, not classes. */
export const MAX_CLASSES = 64;

export interface Row {
  /** From 1, the header's. */
  readonly line: number;
  /** The value of a column, trimmed; empty where the row has none. */
  readonly text: (column: string) => string;
}

/** Column names of the file, trimmed, in lower case. @throws labels.invalid */
export async function columnsOf(path: string): Promise<readonly string[]> {
  const { line, delimiter } = await firstLine(path);
  return line
    .replace(/^\uFEFF/, "")
    .split(delimiter)
    .map((name) =>
      name
        .trim()
        .replace(/^"(.*)"$/, "$1")
        .trim()
        .toLowerCase(),
    );
}

/**
 * @param expected what the file should have, for its error where it has no rows
 * @throws labels.invalid, naming columns and lines but never a value
 */
export async function* rowsOf(path: string, expected: string): AsyncGenerator<Row, void> {
  const { delimiter } = await firstLine(path);
  const parser = parse({
    bom: true,
    columns: (header: string[]) => header.map((name) => name.trim().toLowerCase()),
    delimiter,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: 1024 * 1024,
  });
  const input = createReadStream(path);
  input.on("error", (error) => parser.destroy(error));
  input.pipe(parser);
  let line = 1;
  try {
    for await (const row of parser) {
      line += 1;
      const values = row as Readonly<Partial<Record<string, string>>>;
      yield { line, text: (column) => values[column]?.trim() ?? "" };
    }
  } catch (error) {
    if (error instanceof ConsiliumError) throw error;
    // The parser quotes what it chokes on; that stays here.
    throw invalid(`(after row ${line})`);
  }
  if (line === 1) throw invalid(expected);
}

/** Holds the names of classes of one file to what names of classes look like. */
export class ClassNames {
  readonly #names = new Set<string>();

  /** @throws labels.invalid */
  check(name: string, line: number): string {
    if (!labelTextSchema.safeParse(name).success)
      throw invalid(`(row ${line}: a label is at most 48 letters, digits, spaces and . _ + -)`);
    this.#names.add(name);
    if (this.#names.size > MAX_CLASSES)
      throw invalid(`(more than ${MAX_CLASSES} different labels: is this the right column?)`);
    return name;
  }
}

/** @throws labels.invalid if the row has none */
export function uidOf(row: Row): string {
  const uid = row.text(UID_COLUMN);
  if (uid === "") throw invalid(`(row ${row.line} has no ${UID_COLUMN})`);
  return uid;
}

/** @throws labels.invalid if one of them is not a number, or the box has no area */
export function rectangleOf(row: Row): { x: number; y: number; width: number; height: number } {
  const number = (column: string): number => {
    const text = row.text(column);
    const value = Number(text);
    if (text === "" || !Number.isFinite(value)) throw invalid(`(row ${row.line}: ${column} is not a number)`);
    return value;
  };
  const box = { x: number("x"), y: number("y"), width: number("width"), height: number("height") };
  if (!(box.width > 0 && box.height > 0)) throw invalid(`(row ${row.line}: the box has no area)`);
  return box;
}

/** The first line, and the sign among comma, semicolon and tab that it has most of. */
async function firstLine(path: string): Promise<{ line: string; delimiter: string }> {
  let line: string;
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
      line = buffer.toString("utf8", 0, bytesRead).split(/\r?\n/, 1)[0] ?? "";
    } finally {
      await file.close();
    }
  } catch {
    throw invalid("(the file does not exist or cannot be read)");
  }
  const counts = [",", ";", "\t"].map((sign) => ({ sign, count: line.split(sign).length }));
  return { line, delimiter: counts.reduce((best, next) => (next.count > best.count ? next : best)).sign };
}

export const invalid = (detail: string): ConsiliumError => new ConsiliumError("labels.invalid", { detail });
