import { ConsiliumError } from "@consilium/shared/errors";
import { isTrialRound } from "@consilium/shared/protocol/round";
import { counted, formatBytes } from "@consilium/shared/units";
import type { Command } from "commander";
import { isReceipt, receiptsFile, type ReceiptEntry } from "../../federation/receipts.ts";
import { byWhat, summariseReceipts, type ReceiptsSummary } from "../../federation/receipts-summary.ts";
import type { Home } from "../../home/home.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

export function receiptsCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "receipts",
    "List every object that left this site.",
    `One line before an object's first byte leaves and one when its outcome is known: time, what it was, round, size and
SHA-256 of the bytes as they travel. What people here approved or refused stands among them. Each line holds the hash of the
one before; the command checks them all, and "verify" says so. "summary" adds up what left. The kinds and states are explained in
docs/governance.md.`,
    `consilium-site receipts
     consilium-site receipts summary
     consilium-site receipts --json
     consilium-site receipts verify`,
  );
  handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const receipts = await receiptsFile(home.receiptsFile).entries();
    const terms = await termsOf(home);
    const rows = receipts.map((entry) => describe(entry, terms));
    const header = `${"when".padEnd(24)}  ${"what".padEnd(17)} ${"round".padEnd(7)} ${"state".padEnd(11)} ${"size".padStart(8)}  sha256`;
    output.result(
      { receipts },
      rows.length === 0 ? "Nothing has left this site." : [header, ...rows].join("\n"),
    );
  });
  return command.addCommand(summaryCommand(ports)).addCommand(verifyCommand(ports));
}

type Terms = Parameters<typeof summariseReceipts>[1];

/** Before a site has joined nothing is of a round. */
async function termsOf(home: Home): Promise<Terms> {
  try {
    return (await home.joined()).plan;
  } catch {
    return { rounds: Infinity };
  }
}

interface SummaryOptions {
  readonly since?: string;
}

function summaryCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "summary",
    "Add up what left this site: by what it was, and by round.",
    `Counts what the coordinator took, also again or too late, and of what was interrupted the part that it acknowledged. What it
refused, and what has no outcome on record, stands apart. Sizes are those of the bytes as they travel, without HTTP headers.`,
    `consilium-site receipts summary
     consilium-site receipts summary --since 2026-11-01
     consilium-site receipts summary --json`,
  ).option("--since <date>", "count from this day or time on, as 2026-11-01 or 2026-11-01T08:00:00Z (UTC)");
  return handle<SummaryOptions>(command, ports, async ({ options, output, openHome }) => {
    const since = options.since === undefined ? null : sinceOf(options.since);
    const home = await openHome();
    const receipts = await receiptsFile(home.receiptsFile).list();
    const chosen = since === null ? receipts : receipts.filter(({ at }) => Date.parse(at) >= since);
    const summary = summariseReceipts(chosen, await termsOf(home));
    const from = since === null ? null : new Date(since).toISOString();
    output.result({ since: from, ...summary, byWhat: byWhat(summary) }, summaryText(summary, from));
  });
}

/** In ms. @throws config.invalid */
function sinceOf(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new ConsiliumError("config.invalid", {
    detail: "(--since: give a date as 2026-11-01)",
    culprits: ["since"],
  });
}

function summaryText(summary: ReceiptsSummary, since: string | null): string {
  const { objects, bytes, refused, unsettled, totals } = summary;
  const from = since === null ? "" : ` since ${since}`;
  const apart = [
    ...(refused.objects === 0
      ? []
      : [
          `Refused by the coordinator: ${counted(refused.objects, "object")} of ${formatBytes(refused.bytes)}; how much of them left is not on record.`,
        ]),
    ...(unsettled.objects === 0
      ? []
      : [
          `Begun, with no outcome on record: ${counted(unsettled.objects, "object")} of ${formatBytes(unsettled.bytes)}.`,
        ]),
  ];
  if (objects === 0) return [`Nothing has left this site${from}.`, ...apart].join("\n");
  const whats = [...byWhat(summary), { what: "in all", objects, bytes }].map(
    (row) =>
      `${row.what.padEnd(22)} ${String(row.objects).padStart(7)} ${formatBytes(row.bytes).padStart(9)}`,
  );
  const rounds = [...new Set(totals.map(({ round }) => round))].map((round) => {
    const rows = totals.filter((total) => total.round === round);
    const size = formatBytes(rows.reduce((sum, row) => sum + row.bytes, 0));
    return `${round.padEnd(22)} ${size.padStart(9)}  ${rows.map((row) => `${row.what} ${formatBytes(row.bytes)}`).join(", ")}`;
  });
  return [
    `What left this site${from}:`,
    `${"what".padEnd(22)} ${"objects".padStart(7)} ${"size".padStart(9)}`,
    ...whats,
    "",
    `${"when".padEnd(22)} ${"size".padStart(9)}  of it`,
    ...rounds,
    ...apart,
  ].join("\n");
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

function describe(entry: ReceiptEntry, terms: Terms): string {
  const { at, kind, sha256 } = entry;
  const row = (round: string, state: string, size: string): string =>
    `${at}  ${kind.padEnd(17)} ${round.padEnd(7)} ${state.padEnd(11)} ${size.padStart(8)}  ${sha256}`;
  if (entry.kind === "approval") return row("-", `${entry.used} of ${entry.files}`, "-");
  if (entry.kind === "plan") {
    return `${row("-", entry.decision, "-")}${entry.by === undefined ? "" : `  by ${entry.by}`}`;
  }
  const { round, attempt, state, bytes } = entry;
  const place = isTrialRound(round, terms) ? `trial.${attempt}` : `${round}.${attempt}`;
  return row(attempt === 0 ? "-" : place, state, formatBytes(bytes));
}
