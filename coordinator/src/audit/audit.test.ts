import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chain, EMPTY_CHAIN, verifyChain, type AuditLine } from "@consilium/shared/audit/chain";
import { AuditFile, readAuditLines } from "./file.ts";

function linesOf(count: number): AuditLine[] {
  const lines: AuditLine[] = [];
  for (let i = 0; i < count; i++) {
    const event = {
      at: "2026-01-02T03:04:05.000Z",
      federation: "chest",
      event: "round.opened",
      data: { round: i },
    };
    lines.push(chain(lines.at(-1) ?? EMPTY_CHAIN, event));
  }
  return lines;
}

const textOf = (lines: readonly AuditLine[]): string[] => lines.map((line) => JSON.stringify(line));

describe("the chain", () => {
  it("holds as it was written", () => {
    expect(verifyChain(textOf(linesOf(5)))).toEqual({ ok: true, lines: 5 });
    expect(verifyChain([])).toEqual({ ok: true, lines: 0 });
  });

  it("breaks at a line that was changed", () => {
    const lines = textOf(linesOf(5));
    lines[2] = lines[2]?.replace('"round":2', '"round":7') ?? "";
    expect(verifyChain(lines)).toEqual({ ok: false, brokenAt: 3 });
  });

  it("breaks where a line was removed, put in twice or exchanged", () => {
    const lines = textOf(linesOf(6));
    const position = fc.integer({ min: 0, max: 4 });
    fc.assert(
      fc.property(position, (i) => {
        expect(verifyChain(lines.toSpliced(i, 1))).toEqual({ ok: false, brokenAt: i + 1 });
        expect(verifyChain(lines.toSpliced(i, 0, lines[i] ?? ""))).toEqual({ ok: false, brokenAt: i + 2 });
        const exchanged = lines.toSpliced(i, 2, lines[i + 1] ?? "", lines[i] ?? "");
        expect(verifyChain(exchanged)).toEqual({ ok: false, brokenAt: i + 1 });
      }),
    );
  });
});

describe("the file", () => {
  const logged: string[] = [];
  const logger = pino({ level: "error" }, { write: (text) => logged.push(text) });
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "consilium-audit-"));
    file = path.join(folder, "audit.jsonl");
    logged.length = 0;
  });
  afterEach(() => rm(folder, { recursive: true }));

  const source = (lines: readonly AuditLine[]) => ({
    auditAfter: (seq: number) => Promise.resolve(lines.filter((line) => line.seq > seq)),
  });

  it("follows the store", async () => {
    const lines = linesOf(2);
    const audit = await AuditFile.open(file, source(lines), logger);
    lines.push(...linesOf(4).slice(2));
    await Promise.all([audit.follow(), audit.follow()]);
    expect(await readFile(file, "utf8")).toBe(`${textOf(lines).join("\n")}\n`);
    expect(verifyChain(await readAuditLines(file))).toEqual({ ok: true, lines: 4 });
  });

  it("is completed after a crash, also in the middle of a line", async () => {
    const lines = textOf(linesOf(3));
    await writeFile(file, `${lines[0] ?? ""}\n${lines[1]?.slice(0, 40) ?? ""}`);
    await AuditFile.open(file, source(linesOf(3)), logger);
    expect(verifyChain(await readAuditLines(file))).toEqual({ ok: true, lines: 3 });
    expect(logged).toEqual([]);
  });

  it("is written again when someone has deleted it", async () => {
    await AuditFile.open(file, source(linesOf(3)), logger);
    expect(verifyChain(await readAuditLines(file))).toEqual({ ok: true, lines: 3 });
  });

  it("says so when someone has changed its end, and stays as evidence", async () => {
    const other = chain(EMPTY_CHAIN, {
      at: "2026-01-02T03:04:05.000Z",
      federation: "chest",
      event: "forged",
      data: {},
    });
    await writeFile(file, `${JSON.stringify(other)}\n`);
    await AuditFile.open(file, source(linesOf(3)), logger);
    expect(logged.join("")).toContain("audit verify");
    expect(verifyChain(await readAuditLines(file))).toEqual({ ok: false, brokenAt: 2 });
  });
});
