import type { Command } from "commander";
import { parseName } from "../../config.ts";
import {
  approveIntake,
  countedFiles,
  formatShare,
  usedShare,
  type FolderIntake,
} from "../../dataset/intake.ts";
import { receiptsFile } from "../../federation/receipts.ts";
import { handle, siteCommand } from "../context.ts";
import { nextStep } from "../next-step.ts";
import type { CliPorts } from "../ports.ts";
import { reasonTable } from "./ingest.ts";

interface Options {
  readonly cache: string;
}

export function approveCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "approve",
    "Accept that few of the files could be used.",
    `Training waits while a folder gave fewer images than consilium-site ingest --min-used asks for, since the reason may be a
wrong export. Look at the reasons that ingest counted; if they are as they should be (reports among the images, say),
this lets training begin. The approval is for the share as it is now and is kept among the receipts.`,
    `consilium-site approve
     consilium-site approve --cache test`,
  ).option("--cache <name>", "cache whose files were looked at", "train");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const cache = parseName("--cache", options.cache);
    const receipts = receiptsFile(home.receiptsFile);
    const { folders } = await approveIntake(home.cacheFolder(cache), ({ folders, sha256 }) => {
      const at = new Date(ports.nowMs()).toISOString();
      return receipts.add({ at, kind: "approval", cache, ...totals(folders), sha256 });
    });
    const next = await nextStep(home, totals(folders).used);
    output.result({ cache, folders, ...totals(folders) }, describe(folders, next));
  });
}

function totals(folders: readonly FolderIntake[]): { files: number; used: number } {
  const total = (count: (folder: FolderIntake) => number): number =>
    folders.reduce((sum, folder) => sum + count(folder), 0);
  return { files: total(countedFiles), used: total(({ used }) => used) };
}

function describe(folders: readonly FolderIntake[], next: string): string {
  if (folders.length === 0) return "Nothing waits for an approval.";
  return [
    ...folders.flatMap((folder) => [
      `Approved: ${folder.used} of ${countedFiles(folder)} files are used (${formatShare(usedShare(folder))}).`,
      ...reasonTable(folder.quarantined),
    ]),
    next,
  ].join("\n");
}
