/** `audit verify`: walks the hash chain of the home folder's audit.jsonl. */
import { ConsiliumError } from "@consilium/shared/errors";
import { verifyAuditFile } from "../audit/file.ts";
import { homePaths } from "../home.ts";
import { say, type Terminal } from "./terminal.ts";

/** @throws audit.broken, naming the first line that does not fit */
export async function verifyAudit(home: string, terminal: Terminal): Promise<void> {
  const check = await verifyAuditFile(homePaths(home).auditFile);
  if (!check.ok) {
    throw new ConsiliumError("audit.broken", {
      detail: `(line ${check.brokenAt})`,
      culprits: [String(check.brokenAt)],
    });
  }
  say(terminal, { event: "result", lines: check.lines }, `${check.lines} lines, unbroken.`);
}
