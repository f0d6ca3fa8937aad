/**
 * The site's own record of everything that left it, and of what a person at the site approved: JSON lines, each with the hash of the one before, so that a line
 * cannot be changed or taken out of the middle unnoticed. A line is written before the first byte leaves, and another
 * when the outcome is known.
 */
import type { ConsiliumError } from "@consilium/shared/errors";
import { federationIdSchema, sha256Schema } from "@consilium/shared/ids";
import { z } from "zod";
import { chainedFile } from "../home/chain.ts";

const receiptSchema = z.strictObject({
  at: z.iso.datetime(),
  federation: federationIdSchema,
  kind: z.enum([
    "enrolment",
    "fingerprint",
    /** How far this site's images are from the others'. */
    "image-distances",
    "genesis",
    /** An update that the coordinator can read. */
    "contribution",
    /** An update of which the coordinator sees only the sum with others. */
    "masked-vector",
    "masking-keys",
    "masking-shares",
    "masking-signature",
    "masking-release",
    /** What the coordinator can read beside a contribution: examples and metrics, signed. */
    "metrics",
    /** Software, plan, initial model; images where the plan does not mask. */
    "hello",
    /** How far a round's work was said to be: one line for all of it. */
    "progress",
    /** Proof of this site's key. */
    "session",
    /** That and why the site takes no further part in an attempt. */
    "sit-out",
    /** Why the site waits. */
    "hold",
    /** A signature for a site that joins. */
    "endorsement",
    /** A signature under the coordinator's audit log. */
    "audit-signature",
  ]),
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

/** A person decided about a plan. */
export const planDecisionSchema = z.strictObject({
  at: z.iso.datetime(),
  kind: z.literal("plan"),
  decision: z.enum(["approved", "refused"]),
  /** Who decided, as they said it; stays at the site. */
  by: z
    .string()
    .regex(/^[\p{L}\p{N}][\p{L}\p{N} .,'@_-]{0,79}$/u)
    .optional(),
  /** The plan's hash. */
  sha256: sha256Schema,
});
export type PlanDecision = z.infer<typeof planDecisionSchema>;

export type ReceiptEntry = Receipt | ApprovalReceipt | PlanDecision;

const entrySchema = z.discriminatedUnion("kind", [receiptSchema, approvalSchema, planDecisionSchema]);

export const isReceipt = (entry: ReceiptEntry): entry is Receipt => "state" in entry;

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
  const chained = chainedFile<ReceiptEntry>(file, {
    start: "consilium/1 receipts",
    parse: (value) => entrySchema.safeParse(value).data,
    broken: "receipts.broken",
  });
  return {
    ...chained,
    list: async () => (await chained.entries()).filter(isReceipt),
  };
}
