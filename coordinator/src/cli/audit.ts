/** `audit verify`: walks the hash chain of the home folder's audit.jsonl and checks every signature in it. */
import { ConsiliumError } from "@consilium/shared/errors";
import { readAuditLines } from "../audit/file.ts";
import { verifyAudit as verifyLines } from "../audit/verify.ts";
import { unsignedLines } from "@consilium/shared/audit/chain";
import { homePaths, readIdentity } from "../home.ts";
import { say, type Terminal } from "./terminal.ts";

/** @throws audit.broken, audit.bad-countersignature, each naming the first line that does not fit; config.invalid */
export async function verifyAudit(home: string, terminal: Terminal): Promise<void> {
  const lines = await readAuditLines(homePaths(home).auditFile);
  const check = await verifyLines(lines, async () => (await readIdentity(home)).public);
  if (!check.ok) {
    throw new ConsiliumError(check.why === "chain" ? "audit.broken" : "audit.bad-countersignature", {
      detail: `(line ${check.brokenAt})`,
      culprits: [String(check.brokenAt)],
    });
  }
  const { lines: count, heads, countersignatures, newestSigners, unsigned } = check;
  const signed =
    heads === 0
      ? ""
      : ` ${heads} rounds signed, ${countersignatures} countersignatures, the newest ${describe(newestSigners)}.`;
  say(
    terminal,
    { event: "result", lines: count, heads, countersignatures, newestSigners, unsigned },
    `${count} lines, unbroken.${signed} ${unsignedLines(count, unsigned, "signed head")}`,
  );
}

function describe(newestSigners: Readonly<Record<string, readonly string[]>>): string {
  const all = Object.entries(newestSigners);
  return all
    .map(([federation, signers]) => {
      const by = `by ${signers.join(", ") || "nobody yet"}`;
      return all.length === 1 ? by : `of ${federation} ${by}`;
    })
    .join(", ");
}
