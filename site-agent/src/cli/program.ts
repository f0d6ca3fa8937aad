/** The command line: all commands, and what happens to errors. */
import { toConsiliumError } from "@consilium/shared/errors";
import { parseLine } from "@consilium/shared/misuse";
import { Command, CommanderError } from "commander";
import { Unsuccessful } from "./context.ts";
import { createOutput } from "./output.ts";
import type { CliPorts } from "./ports.ts";
import { SOFTWARE } from "../software.ts";

const INTRODUCTION = `One hospital's part in a federation that trains an image encoder together.
Images never leave this machine; what leaves is masked or encrypted, and listed by "consilium-site receipts".`;

const FIRST_STEPS = `
First steps:
  1. make this site's keys                consilium-site init --site st-mary
  2. join with a one-time token           consilium-site join --coordinator URL --token-file FILE
  3. read what would be trained           consilium-site plan
  4. approve it                           consilium-site plan approve HASH
  5. read DICOM into the image cache      consilium-site ingest /data/chest-xray
  6. train with the others until done     consilium-site run
  7. use the encoder on your own labels   consilium-site finetune

Every command explains itself: consilium-site COMMAND --help
If something is wrong: consilium-site doctor`;

/** In the order of the help. Each is loaded when it is asked for: a command starts in half the time without the others. */
const COMMANDS: ReadonlyMap<string, () => Promise<(ports: CliPorts) => Command>> = new Map([
  ["init", async () => (await import("./commands/init.ts")).initCommand],
  ["join", async () => (await import("./commands/join.ts")).joinCommand],
  ["ingest", async () => (await import("./commands/ingest.ts")).ingestCommand],
  ["listen", async () => (await import("./commands/listen.ts")).listenCommand],
  ["pull", async () => (await import("./commands/pull.ts")).pullCommand],
  ["label", async () => (await import("./commands/label.ts")).labelCommand],
  ["approve", async () => (await import("./commands/approve.ts")).approveCommand],
  ["preview", async () => (await import("./commands/preview.ts")).previewCommand],
  ["decode", async () => (await import("./commands/decode.ts")).decodeCommand],
  ["run", async () => (await import("./commands/run.ts")).runCommand],
  ["pretrain", async () => (await import("./commands/pretrain.ts")).pretrainCommand],
  ["finetune", async () => (await import("./commands/finetune.ts")).finetuneCommand],
  ["predict", async () => (await import("./commands/predict.ts")).predictCommand],
  ["reconstruct", async () => (await import("./commands/reconstruct.ts")).reconstructCommand],
  ["export", async () => (await import("./commands/export.ts")).exportCommand],
  ["import", async () => (await import("./commands/import.ts")).importCommand],
  ["plan", async () => (await import("./commands/plan.ts")).planCommand],
  ["roster", async () => (await import("./commands/roster.ts")).rosterCommand],
  ["receipts", async () => (await import("./commands/receipts.ts")).receiptsCommand],
  ["audit", async () => (await import("./commands/audit.ts")).auditCommand],
  ["privacy", async () => (await import("./commands/privacy.ts")).privacyCommand],
  ["policy", async () => (await import("./commands/policy.ts")).policyCommand],
  ["doctor", async () => (await import("./commands/doctor.ts")).doctorCommand],
]);

/** The command that the line begins with; all of them where it begins with anything else, to explain or to correct it. */
function load(first: string | undefined): Promise<((ports: CliPorts) => Command)[]> {
  const named = COMMANDS.get(first ?? "");
  return Promise.all((named === undefined ? [...COMMANDS.values()] : [named]).map((load) => load()));
}

/** @returns the exit code; nothing is thrown */
export async function runCli(argv: readonly string[], ports: CliPorts): Promise<number> {
  const program = new Command("consilium-site")
    .description(INTRODUCTION)
    .version(SOFTWARE, "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .addHelpText("after", FIRST_STEPS);
  const commands = (await load(argv[0])).map((command) => command(ports));
  for (const command of [program, ...commands, ...commands.flatMap(({ commands: below }) => below)]) {
    command.configureOutput({
      writeOut: ports.stdout.write,
      // Commander's own wording arrives as an error as well, and is shown once, in our three lines.
      writeErr: () => undefined,
    });
  }
  for (const command of commands) program.addCommand(command);

  try {
    if (argv.length === 0) program.outputHelp();
    else await parseLine(program, argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (!ports.signal.aborted && !(error instanceof Unsuccessful)) report(error, argv, ports);
    return 1;
  }
}

function report(error: unknown, argv: readonly string[], ports: CliPorts): void {
  const known = toConsiliumError(error);
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
