/** Class labels from a CSV file: one row per image, by SOP Instance UID. Other columns (patient ids, names) are not read. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { parse } from "csv-parse";
import { ConsiliumError } from "@consilium/shared/errors";
import { imageKey } from "../dataset/keys.ts";
import { labelTextSchema, type Labels } from "../dataset/labels.ts";

const UID_COLUMN = "sop_instance_uid";
const LABEL_COLUMN = "label";
const EXPECTED = `(expected a header line with the columns ${UID_COLUMN} and ${LABEL_COLUMN})`;
/** A column with more distinct values than this holds names or findings, not classes. */
const MAX_CLASSES = 64;

export interface LabelFile {
  /** Image key -> label; images with two different labels are left out. */
  readonly labels: Labels;
  /** Rows that repeat an image. */
  readonly duplicates: number;
  /** Images that are given two different labels. */
  readonly conflicts: readonly string[];
}

/** What the join with the cache's images found. */
export interface LabelCounts {
  /** Images that have a label now because of this file. */
  readonly matched: number;
  /** Labels of images that the cache does not hold. */
  readonly unmatched: number;
  /** Rows that name an image once more. */
  readonly duplicates: number;
  /** Images of the file with two different labels: they get none. */
  readonly conflicts: number;
}

/**
 * Reads a label file. Comma, semicolon or tab; a byte order mark and quotes are fine; column names in any case.
 * @throws labels.invalid, naming columns and lines but never a value
 */
export async function readLabelFile(path: string, secret: Uint8Array): Promise<LabelFile> {
  const labels = new Map<string, string>();
  const conflicts = new Set<string>();
  const classes = new Set<string>();
  let duplicates = 0;
  let line = 1;
  for await (const row of rowsOf(path, await delimiterOf(path))) {
    line += 1;
    const uid = row[UID_COLUMN]?.trim() ?? "";
    const label = row[LABEL_COLUMN]?.trim() ?? "";
    // A row without a label is an image that nobody has looked at yet.
    if (label === "") continue;
    if (uid === "") throw invalid(`(row ${line} has no ${UID_COLUMN})`);
    if (!labelTextSchema.safeParse(label).success)
      throw invalid(`(row ${line}: a label is at most 48 letters, digits, spaces and . _ + -)`);
    classes.add(label);
    if (classes.size > MAX_CLASSES)
      throw invalid(`(more than ${MAX_CLASSES} different labels: is ${LABEL_COLUMN} the right column?)`);
    const key = imageKey(secret, uid);
    const earlier = labels.get(key);
    if (earlier !== undefined) {
      duplicates += 1;
      if (earlier !== label) conflicts.add(key);
    } else labels.set(key, label);
  }
  for (const key of conflicts) labels.delete(key);
  return { labels, duplicates, conflicts: [...conflicts] };
}

/**
 * Adds the file's labels of cached images to those that the cache has: the file wins where both name an image, and an
 * image whose rows disagree loses its label.
 */
export function joinLabels(
  existing: Labels,
  file: LabelFile,
  cached: ReadonlySet<string>,
): { readonly labels: Labels; readonly counts: LabelCounts } {
  const labels = new Map(existing);
  let matched = 0;
  for (const [key, label] of file.labels) {
    if (!cached.has(key)) continue;
    labels.set(key, label);
    matched += 1;
  }
  for (const key of file.conflicts) labels.delete(key);
  const counts = {
    matched,
    unmatched: file.labels.size - matched,
    duplicates: file.duplicates,
    conflicts: file.conflicts.length,
  };
  return { labels, counts };
}

type Row = Readonly<Partial<Record<string, string>>>;

async function* rowsOf(path: string, delimiter: string): AsyncGenerator<Row, void> {
  const parser = parse({
    bom: true,
    columns: (header: string[]) => checkedHeader(header.map((name) => name.trim().toLowerCase())),
    delimiter,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: 1024 * 1024,
  });
  const input = createReadStream(path);
  input.on("error", (error) => parser.destroy(error));
  input.pipe(parser);
  let rows = 0;
  try {
    for await (const row of parser) {
      rows += 1;
      yield row as Row;
    }
  } catch (error) {
    if (error instanceof ConsiliumError) throw error;
    // The parser quotes what it chokes on; that stays here.
    throw invalid(`(after row ${rows + 1})`);
  }
  if (rows === 0) throw invalid(EXPECTED);
}

/** @throws labels.invalid if a column is missing */
function checkedHeader(names: string[]): string[] {
  if (!names.includes(UID_COLUMN) || !names.includes(LABEL_COLUMN)) throw invalid(EXPECTED);
  return names;
}

/** The sign among comma, semicolon and tab that the first line has most of. */
async function delimiterOf(path: string): Promise<string> {
  let head: string;
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
      head = buffer.toString("utf8", 0, bytesRead).split(/\r?\n/, 1)[0] ?? "";
    } finally {
      await file.close();
    }
  } catch {
    throw invalid("(the file does not exist or cannot be read)");
  }
  const counts = [",", ";", "\t"].map((sign) => ({ sign, count: head.split(sign).length }));
  return counts.reduce((best, next) => (next.count > best.count ? next : best)).sign;
}

const invalid = (detail: string): ConsiliumError => new ConsiliumError("labels.invalid", { detail });
