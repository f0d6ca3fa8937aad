/**
 * The site's own record of everything that left it: JSON lines, each with the hash of the one before, so that a line
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
  kind: z.enum(["enrolment", "genesis", "contribution"]),
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

const lineSchema = z.strictObject({ ...receiptSchema.shape, previous: sha256Schema });

/** Stands before the first line. */
const CHAIN_START = sha256("consilium/1 receipts");

/** The state of an object whose sending ended in an error. */
export const failedState = ({ retry }: ConsiliumError): "refused" | "interrupted" =>
  retry ? "interrupted" : "refused";

export interface Receipts {
  add(receipt: Receipt): Promise<void>;
  /** @throws receipts.broken, naming the line */
  list(): Promise<readonly Receipt[]>;
}

export function receiptsFile(file: string): Receipts {
  let pending: Promise<unknown> = Promise.resolve();
  const append = async (receipt: Receipt): Promise<void> => {
    const text = (await readTextIfPresent(file)) ?? "";
    const whole = wholeLines(text);
    // A line that a crash left unfinished was never followed by a byte that left: drop it.
    if (whole.length < text.length) await cutFile(file, Buffer.byteLength(whole));
    const last = whole.trimEnd().split("\n").at(-1) ?? "";
    const previous = last === "" ? CHAIN_START : sha256(last);
    await appendDurably(file, `${canonicalJson({ ...receipt, previous })}\n`);
  };
  return {
    add(receipt) {
      const added = pending.then(() => append(receipt));
      pending = added.catch(() => undefined);
      return added;
    },
    list: async () => parseReceipts(wholeLines((await readTextIfPresent(file)) ?? "")),
  };
}

/** @throws receipts.broken */
export function parseReceipts(text: string): readonly Receipt[] {
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
      return receiptSchema.strip().parse(parsed);
    });
}

const wholeLines = (text: string): string => text.slice(0, text.lastIndexOf("\n") + 1);

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
