import { readFile } from "node:fs/promises";
import { logLines, parseLine, unsignedLines, verifyChain } from "@consilium/shared/audit/chain";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Command } from "commander";
import { witnessedHeads } from "../../governance/audit-witness.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

export function auditCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "audit",
    "List the heads of the coordinator's audit log that this site has countersigned.",
    `After each round, and at the end, the coordinator signs the end of its log, and this site signs it too once it has seen that the log has only
grown since the last time. "verify" checks a copy of the log against all of them.`,
    `consilium-site audit
     consilium-site audit verify audit.jsonl`,
  );
  handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const { plan } = await home.joined();
    const heads = await witnessedHeads(home.auditHeadsFile).of(plan.federation);
    const rows = heads.map(({ at, round, seq, hash }) => `${at}  round ${round}, line ${seq}  ${hash}`);
    output.result({ heads }, rows.length === 0 ? "No head has been countersigned yet." : rows.join("\n"));
  });
  return command.addCommand(verifyCommand(ports));
}

function verifyCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "verify",
    "Check a copy of the coordinator's audit log against what this site has countersigned.",
    `Ask the coordinator's operator for audit.jsonl. A line that was changed, taken out or put in, also one cut off before the last
head that this site signed, is named.`,
    `consilium-site audit verify audit.jsonl
     consilium-site audit verify audit.jsonl --json`,
  ).argument("<file>", "the coordinator's audit.jsonl");
  return handle(command, ports, async ({ output, openHome }, file = "") => {
    const home = await openHome();
    const { plan } = await home.joined();
    const heads = await witnessedHeads(home.auditHeadsFile).of(plan.federation);
    const lines = logLines(await readLog(file));
    const check = verifyChain(lines);
    if (!check.ok) throw broken("audit.broken", check.brokenAt);
    for (const { seq, hash } of heads) {
      if (parseLine(lines[seq - 1] ?? "")?.hash !== hash) throw broken("audit.rewritten", seq);
    }
    const unsigned = check.lines - Math.max(0, ...heads.map(({ seq }) => seq));
    output.result(
      { lines: check.lines, heads: heads.length, unsigned },
      `${check.lines} lines, unbroken; all ${heads.length} heads that this site has countersigned are in it. ${unsignedLines(check.lines, unsigned, "head that this site has signed")}`,
    );
  });
}

async function readLog(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new ConsiliumError("config.invalid", {
      detail: "(the file cannot be read)",
      culprits: ["file"],
      cause,
    });
  }
}

const broken = (code: "audit.broken" | "audit.rewritten", line: number): ConsiliumError =>
  new ConsiliumError(code, { detail: `(line ${line})`, culprits: [String(line)] });
