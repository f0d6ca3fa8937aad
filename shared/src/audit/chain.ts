/**
 * The audit log's chain. Each line carries the hash of the one before it, so that a line which is changed, removed or put
 * in breaks every line after it. A line's hash is over the hash of its content, so that a site can follow the chain past
 * lines of other federations without reading them. Lines hold names, numbers, hashes, public keys and signatures; no
 * secret keys, tokens, addresses or weights.
 */
import { z } from "zod";
import { canonicalJson, sha256, type Json } from "../canonical.ts";
import { sha256Schema, type Sha256 } from "../ids.ts";
import type { AuditLink } from "../protocol/governance.ts";

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
  return auditLineSchema.parse({ ...line, hash: linkHash({ ...line, content: contentOf(line) }) });
}

/** A line without what it says. */
export function linkOf(line: AuditLine): AuditLink {
  const { seq, previous, hash } = line;
  return { seq, previous, content: contentOf(line), hash };
}

/** Whether this is the next link after the head. */
export function follows(head: ChainHead, link: AuditLink): boolean {
  return link.seq === head.seq + 1 && link.previous === head.hash && link.hash === linkHash(link);
}

function linkHash({ seq, previous, content }: Omit<AuditLink, "hash">): Sha256 {
  return sha256(canonicalJson({ seq, previous, content }));
}

function contentOf({ at, federation, event, data }: AuditEvent): Sha256 {
  return sha256(canonicalJson({ at, federation, event, data }));
}

export type ChainCheck =
  { readonly ok: true; readonly lines: number } | { readonly ok: false; readonly brokenAt: number };

/** @returns the first broken line's number (from 1), if any */
export function verifyChain(lines: Iterable<string>): ChainCheck {
  let head = EMPTY_CHAIN;
  for (const text of lines) {
    const line = parseLine(text);
    if (line === null || !follows(head, linkOf(line))) return { ok: false, brokenAt: head.seq + 1 };
    head = line;
  }
  return { ok: true, lines: head.seq };
}

/** For people: which lines no signature vouches for. @param signed what the last signed one is called */
export function unsignedLines(lines: number, unsigned: number, signed: string): string {
  if (unsigned === 0) return `No line lies after the last ${signed}.`;
  const which = unsigned === 1 ? `Line ${lines} lies` : `Lines ${lines - unsigned + 1} to ${lines} lie`;
  return `${which} after the last ${signed}: only the chain speaks for ${unsigned === 1 ? "it" : "them"} so far.`;
}

/** The lines of a log that was written as JSON lines. */
export const logLines = (text: string): readonly string[] =>
  text === "" ? [] : text.replace(/\n$/, "").split("\n");

export function parseLine(text: string): AuditLine | null {
  try {
    return auditLineSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
