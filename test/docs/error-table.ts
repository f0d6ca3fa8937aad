/** The part of docs/operations.md that follows from the error table. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { ErrorEntry } from "@consilium/shared/error-table/entry";
import { FEDERATION_ERRORS } from "@consilium/shared/error-table/federation";
import { IMAGE_ERRORS } from "@consilium/shared/error-table/images";
import { LEARNING_ERRORS } from "@consilium/shared/error-table/learning";
import { PRIVACY_ERRORS } from "@consilium/shared/error-table/privacy";
import { RUNNING_ERRORS } from "@consilium/shared/error-table/running";
import { SECAGG_ERRORS } from "@consilium/shared/error-table/secagg";
import { SOURCE_ERRORS } from "@consilium/shared/error-table/sources";
import { ERRORS } from "@consilium/shared/error-table";
import { format, resolveConfig } from "prettier";

export const OPERATIONS_FILE = path.resolve(import.meta.dirname, "../../docs/operations.md");
const BEGIN = "<!-- error table: npm run docs -->";
const END = "<!-- end of error table -->";

const CHAPTERS: readonly (readonly [title: string, Readonly<Record<string, ErrorEntry>>])[] = [
  ["Running the software", RUNNING_ERRORS],
  ["Between sites and coordinator", FEDERATION_ERRORS],
  ["Secure aggregation", SECAGG_ERRORS],
  ["Privacy", PRIVACY_ERRORS],
  ["Learning", LEARNING_ERRORS],
  ["Images", IMAGE_ERRORS],
  ["PACS and other sources", SOURCE_ERRORS],
];

/** Every code once, in chapters; whatever no chapter holds comes last. */
function errorTable(): string {
  const told = new Set(CHAPTERS.flatMap(([, entries]) => Object.keys(entries)));
  const others = Object.fromEntries(Object.entries<ErrorEntry>(ERRORS).filter(([code]) => !told.has(code)));
  return [...CHAPTERS, ["Other", others] as const]
    .filter(([, entries]) => Object.keys(entries).length > 0)
    .map(([title, entries]) => [`### ${title}`, "", ...rows(entries)].join("\n"))
    .join("\n\n");
}

const rows = (entries: Readonly<Record<string, ErrorEntry>>): string[] => [
  "| code | what happened | tried again by itself | what to do |",
  "| --- | --- | --- | --- |",
  ...Object.entries(entries).map(
    ([code, { meaning, retry, next }]) => `| \`${code}\` | ${meaning} | ${retry ? "yes" : "no"} | ${next} |`,
  ),
];

/** @returns the document as it is, and as it should be */
export async function operationsDocument(): Promise<{ readonly is: string; readonly shouldBe: string }> {
  const is = await readFile(OPERATIONS_FILE, "utf8");
  const [before, rest] = is.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error("docs/operations.md has lost its markers");
  const text = `${before}${BEGIN}\n\n${errorTable()}\n\n${END}${after}`;
  const settings = await resolveConfig(OPERATIONS_FILE);
  return { is, shouldBe: await format(text, { ...settings, filepath: OPERATIONS_FILE }) };
}
