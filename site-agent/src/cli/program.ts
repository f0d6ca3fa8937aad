/** The command line: all commands, and what happens to errors. */
import { toConsiliumError } from "@consilium/shared/errors";
import { misuse } from "@consilium/shared/misuse";
import { Command, CommanderError } from "commander";
import { approveCommand } from "./commands/approve.ts";
import { auditCommand } from "./commands/audit.ts";
import { decodeCommand } from "./commands/decode.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { exportCommand } from "./commands/export.ts";
import { finetuneCommand } from "./commands/finetune.ts";
import { ingestCommand } from "./commands/ingest.ts";
import { importCommand } from "./commands/import.ts";
import { initCommand } from "./commands/init.ts";
import { labelCommand } from "./commands/label.ts";
import { joinCommand } from "./commands/join.ts";
import { listenCommand } from "./commands/listen.ts";
import { planCommand } from "./commands/plan.ts";
import { policyCommand } from "./commands/policy.ts";
import { predictCommand } from "./commands/predict.ts";
import { pretrainCommand } from "./commands/pretrain.ts";
import { privacyCommand } from "./commands/privacy.ts";
import { previewCommand } from "./commands/preview.ts";
import { pullCommand } from "./commands/pull.ts";
import { receiptsCommand } from "./commands/receipts.ts";
import { reconstructCommand } from "./commands/reconstruct.ts";
import { rosterCommand } from "./commands/roster.ts";
import { runCommand } from "./commands/run.ts";
import { Unsuccessful } from "./context.ts";
import { createOutput } from "./output.ts";
import type { CliPorts } from "./ports.ts";
import { SOFTWARE } from "../software.ts";

const INTRODUCTION = `One hospital's part in a federation that trains an image encoder together.
Images never leave this machine; what leaves is masked or encrypted, and listed by "consilium-site receipts".`;

const FIRST_STEPS = `
First steps:
  1. make this site's keys                consilium-site init --site st-mary
  2. join with a one-time token           consilium-site join --coordinator URL --token TOKEN
  3. read what would be trained           consilium-site plan
  4. approve it                           consilium-site plan approve HASH
  5. read DICOM into the image cache      consilium-site ingest /data/chest-xray
  6. train with the others until done     consilium-site run
  7. use the encoder on your own labels   consilium-site finetune

Every command explains itself: consilium-site COMMAND --help
If something is wrong: consilium-site doctor`;

/** @returns the exit code; nothing is thrown */
export async function runCli(argv: readonly string[], ports: CliPorts): Promise<number> {
  const program = new Command("consilium-site")
    .description(INTRODUCTION)
    .version(SOFTWARE, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .addHelpText("after", FIRST_STEPS)
    .exitOverride();
  const commands = [
    initCommand(ports),
    joinCommand(ports),
    ingestCommand(ports),
    listenCommand(ports),
    pullCommand(ports),
    labelCommand(ports),
    approveCommand(ports),
    previewCommand(ports),
    decodeCommand(ports),
    runCommand(ports),
    pretrainCommand(ports),
    finetuneCommand(ports),
    predictCommand(ports),
    reconstructCommand(ports),
    exportCommand(ports),
    importCommand(ports),
    planCommand(ports),
    rosterCommand(ports),
    receiptsCommand(ports),
    auditCommand(ports),
    privacyCommand(ports),
    policyCommand(ports),
    doctorCommand(ports),
  ];
  for (const command of [program, ...commands, ...commands.flatMap(({ commands: below }) => below)]) {
    command.exitOverride().configureOutput({
      writeOut: ports.stdout.write,
      // Commander's own wording arrives as an error as well, and is shown once, in our three lines.
      writeErr: () => undefined,
    });
  }
  for (const command of commands) program.addCommand(command);

  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (!ports.signal.aborted && !(error instanceof Unsuccessful)) report(error, argv, ports);
    return 1;
  }
}

function report(error: unknown, argv: readonly string[], ports: CliPorts): void {
  const known = error instanceof CommanderError ? misuse(error, "consilium-site") : toConsiliumError(error);
  createOutput(ports, argv.includes("--json")).error(known);
  if (ports.env["LOG_LEVEL"] === "debug") ports.stderr.write(frames(known));
}

/** Where it happened, without the messages, which may hold a path. */
function frames(error: Error): string {
  const chain: Error[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) chain.push(at);
  return chain
    .map((link) => {
      const code = "code" in link && typeof link.code === "string" ? ` ${link.code}` : "";
      const where = (link.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
      return [`${link.name}${code}`, ...where].join("\n");
    })
    .join("\ncaused by ")
    .concat("\n");
}
