import { formatBytes } from "@consilium/shared/units";
import type { Command } from "commander";
import { isReceipt, receiptsFile, type ReceiptEntry } from "../../federation/receipts.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

export function receiptsCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "receipts",
    "List every object that left this site.",
    `One line before an object's first byte leaves and one when its outcome is known: time, what it was, round, size and
SHA-256 of the bytes as they travel. What people here approved or refused stands among them. Each line holds the hash of the
one before; the command checks them all, and "verify" says so.`,
    `consilium-site receipts
     consilium-site receipts --json
     consilium-site receipts verify`,
  );
  handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const receipts = await receiptsFile(home.receiptsFile).entries();
    const rows = receipts.map(describe);
    const header = `${"when".padEnd(24)}  ${"what".padEnd(17)} ${"round".padEnd(7)} ${"state".padEnd(11)} ${"size".padStart(8)}  sha256`;
    output.result(
      { receipts },
      rows.length === 0 ? "Nothing has left this site." : [header, ...rows].join("\n"),
    );
  });
  return command.addCommand(verifyCommand(ports));
}

function verifyCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "verify",
    "Check that no line of the record was altered, put in or taken out.",
    `Names the first line that is not what was written. As with every such chain, lines taken off the end are not noticed:
compare the number of lines with an earlier copy.`,
    `consilium-site receipts verify
     consilium-site receipts verify --json`,
  );
  return handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const entries = await receiptsFile(home.receiptsFile).entries();
    const bytes = entries
      .filter(isReceipt)
      .filter(({ state }) => state !== "sending" && state !== "refused")
      .reduce((sum, receipt) => sum + receipt.bytes, 0);
    output.result(
      { lines: entries.length, bytes },
      `${entries.length} lines, unbroken; ${formatBytes(bytes)} have left.`,
    );
  });
}

function describe(entry: ReceiptEntry): string {
  const { at, kind, sha256 } = entry;
  const row = (round: string, state: string, size: string): string =>
    `${at}  ${kind.padEnd(17)} ${round.padEnd(7)} ${state.padEnd(11)} ${size.padStart(8)}  ${sha256}`;
  if (entry.kind === "approval") return row("-", `${entry.used} of ${entry.files}`, "-");
  if (entry.kind === "plan") return row("-", entry.decision, "-");
  const { round, attempt, state, bytes } = entry;
  return row(attempt === 0 ? "-" : `${round}.${attempt}`, state, formatBytes(bytes));
}
