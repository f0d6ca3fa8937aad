import { formatBytes } from "@consilium/shared/units";
import type { Command } from "commander";
import { receiptsFile, type ReceiptEntry } from "../../federation/receipts.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

export function receiptsCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "receipts",
    "List every object that left this site.",
    `One line before an object's first byte leaves and one when its outcome is known: time, kind, round, size and SHA-256 of
the bytes as they travel: keys, shares, masked vectors, signatures, releases. Approvals of few used files (consilium-site approve) stand among them. Each line holds the hash of the one before; the command checks them all.`,
    `consilium-site receipts
     consilium-site receipts --json`,
  );
  return handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const receipts = await receiptsFile(home.receiptsFile).entries();
    const rows = receipts.map(describe);
    const header = `${"when".padEnd(24)}  ${"what".padEnd(17)} ${"round".padEnd(7)} ${"state".padEnd(11)} ${"size".padStart(8)}  sha256`;
    output.result(
      { receipts },
      rows.length === 0 ? "Nothing has left this site." : [header, ...rows].join("\n"),
    );
  });
}

function describe(entry: ReceiptEntry): string {
  const { at, kind, sha256 } = entry;
  const row = (round: string, state: string, size: string): string =>
    `${at}  ${kind.padEnd(17)} ${round.padEnd(7)} ${state.padEnd(11)} ${size.padStart(8)}  ${sha256}`;
  if (entry.kind === "approval") return row("-", `${entry.used} of ${entry.files}`, "-");
  const { round, attempt, state, bytes } = entry;
  return row(attempt === 0 ? "-" : `${round}.${attempt}`, state, formatBytes(bytes));
}
