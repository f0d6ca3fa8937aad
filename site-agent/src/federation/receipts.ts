/**
 * The site's own record of everything that left it, and of what a person at the site approved: JSON lines, each with the hash of the one before, so that a line
 * cannot be changed or taken out of the middle unnoticed. A line is written before the first byte leaves, and another
 * when the outcome is known.
 */
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, sha256Schema } from "@consilium/shared/ids";
import { z } from "zod";
import { appendDurably, cutFile, readTextIfPresent } from "../home/files.ts";

const receiptSchema = z.strictObject({
  at: z.iso.datetime(),
  federation: federationIdSchema,
  kind: z.enum(["enrolment", "fingerprint", "genesis", "contribution"]),
  /** `sending` before the first byte; then what became of it. */
  state: z.enum(["sending", "accepted", "duplicate", "stale", "refused", "interrupted"]),
  /** 0 outside rounds. */
  round: z.int().min(0),
  attempt: z.int().min(0),
  /** Size of the object as it travels; when interrupted, what the coordinator acknowledged of it this time. */
  bytes: z.int().min(0),
  sha256: sha256Schema,
});
export type Receipt = z.infer<typeof receiptSchema>;

/** A person accepted that few of a folder's files are used (dataset/intake.ts). Nothing left the site by it. */
const approvalSchema = z.strictObject({
  at: z.iso.datetime(),
  kind: z.literal("approval"),
  /** Name of the image cache. */
  cache: z.string().min(1).max(64),
  files: z.int().min(0),
  used: z.int().min(0),
  /** Of the counts that were approved. */
  sha256: sha256Schema,
});
export type ApprovalReceipt = z.infer<typeof approvalSchema>;

export type ReceiptEntry = Receipt | ApprovalReceipt;

const previous = { previous: sha256Schema };
const lineSchema = z.discriminatedUnion("kind", [
  receiptSchema.extend(previous),
  approvalSchema.extend(previous),
]);

/** Stands before the first line. */
const CHAIN_START = sha256("consilium/1 receipts");

/** The state of an object whose sending ended in an error. */
export const failedState = ({ retry }: ConsiliumError): "refused" | "interrupted" =>
  retry ? "interrupted" : "refused";

export interface Receipts {
  add(receipt: ReceiptEntry): Promise<void>;
  /** What left the site. @throws receipts.broken, naming the line */
  list(): Promise<readonly Receipt[]>;
  /** What left the site, and what was approved. @throws receipts.broken, naming the line */
  entries(): Promise<readonly ReceiptEntry[]>;
}

export function receiptsFile(file: string): Receipts {
  let pending: Promise<unknown> = Promise.resolve();
  const append = async (receipt: ReceiptEntry): Promise<void> => {
    const text = (await readTextIfPresent(file)) ?? "";
    const whole = wholeLines(text);
    // A line that a crash left unfinished was never followed by a byte that left: drop it.
    if (whole.length < text.length) await cutFile(file, Buffer.byteLength(whole));
    const last = whole.trimEnd().split("\n").at(-1) ?? "";
    const previous = last === "" ? CHAIN_START : sha256(last);
    await appendDurably(file, `${canonicalJson({ ...receipt, previous })}\n`);
  };
  const entries = async (): Promise<readonly ReceiptEntry[]> =>
    parseReceipts(wholeLines((await readTextIfPresent(file)) ?? ""));
  return {
    add(receipt) {
      const added = pending.then(() => append(receipt));
      pending = added.catch(() => undefined);
      return added;
    },
    list: async () => (await entries()).filter((entry) => entry.kind !== "approval"),
    entries,
  };
}

/** @throws receipts.broken */
export function parseReceipts(text: string): readonly ReceiptEntry[] {
  let expected = CHAIN_START;
  return text
    .split("\n")
    .slice(0, -1)
    .map((line, index) => {
      const parsed = parseLine(line);
      if (parsed?.previous !== expected) {
        throw new ConsiliumError("receipts.broken", { detail: `(line ${index + 1})` });
      }
      expected = sha256(line);
      return withoutPrevious(parsed);
    });
}

function withoutPrevious(line: z.infer<typeof lineSchema>): ReceiptEntry {
  return line.kind === "approval" ? approvalSchema.strip().parse(line) : receiptSchema.strip().parse(line);
}

const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
