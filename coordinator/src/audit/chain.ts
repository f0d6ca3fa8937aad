/**
 * The audit log's chain. Each line carries the hash of the one before it, so that a line which is changed, removed or put
 * in breaks every line after it. Lines hold names, numbers and hashes; no keys, tokens, addresses or weights.
 */
import { canonicalJson, sha256, type Json } from "@consilium/shared/canonical";
import { sha256Schema, type Sha256 } from "@consilium/shared/ids";
import { z } from "zod";

/** What happened, before it has a place in the chain. */
export interface AuditEvent {
  readonly at: string;
  readonly federation: string;
  readonly event: string;
  readonly data: { readonly [key: string]: Json };
}

export const auditLineSchema = z.strictObject({
  seq: z.int().min(1),
  at: z.iso.datetime(),
  federation: z.string(),
  event: z.string(),
  data: z.record(z.string(), z.json()),
  previous: sha256Schema,
  hash: sha256Schema,
});
export type AuditLine = z.infer<typeof auditLineSchema>;

/** What the first line follows. */
export const GENESIS_HASH = "0".repeat(64) as Sha256;

export interface ChainHead {
  readonly seq: number;
  readonly hash: Sha256;
}
export const EMPTY_CHAIN: ChainHead = { seq: 0, hash: GENESIS_HASH };

export function chain(head: ChainHead, { at, federation, event, data }: AuditEvent): AuditLine {
  const line = { seq: head.seq + 1, at, federation, event, data: { ...data }, previous: head.hash };
  return auditLineSchema.parse({ ...line, hash: sha256(canonicalJson(line)) });
}

export type ChainCheck =
  { readonly ok: true; readonly lines: number } | { readonly ok: false; readonly brokenAt: number };

/** @returns the first broken line's number (from 1), if any */
export function verifyChain(lines: Iterable<string>): ChainCheck {
  let head = EMPTY_CHAIN;
  for (const text of lines) {
    const line = parseLine(text);
    const expected = line === null ? null : chain(head, line);
    if (line === null || line.seq !== head.seq + 1 || expected?.hash !== line.hash) {
      return { ok: false, brokenAt: head.seq + 1 };
    }
    head = line;
  }
  return { ok: true, lines: head.seq };
}

export function parseLine(text: string): AuditLine | null {
  try {
    return auditLineSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
