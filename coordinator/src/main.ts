/** The command line. The only file of the coordinator that reads the process. */
import { homedir } from "node:os";
import path from "node:path";
import { describeError, errorBody, toConsiliumError, ConsiliumError } from "@consilium/shared/errors";
import { Command, InvalidArgumentError } from "commander";
import pino from "pino";
import { verifyAudit } from "./cli/audit.ts";
import { invite, status, type OperatorOptions } from "./cli/operator.ts";
import { writePlan, type PlanOptions } from "./cli/plan.ts";
import { serve, type ServeOptions } from "./cli/serve.ts";
import type { Terminal } from "./cli/terminal.ts";

const { env, argv } = process;
const defaultHome = env["CONSILIUM_COORDINATOR_HOME"] ?? path.join(homedir(), ".consilium", "coordinator");

function terminalOf(options: { readonly json?: boolean }): Terminal {
  return {
    json: options.json === true,
    print: (line) => {
      process.stdout.write(`${line}\n`);
    },
  };
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ consilium-coordinator ${line}`).join("\n")}\n`;

type Shared = { readonly json?: boolean };

const program = new Command("consilium-coordinator")
  .description("Runs a federation: hospitals train one encoder together, and no image leaves any of them.")
  .showHelpAfterError("(add --help for the options)")
  .addHelpText(
    "after",
    examples(
      "plan --federation chest --title 'Chest radiographs' --rounds 25 --min-sites 3 --out plan.json",
      "serve --plan plan.json",
      "invite --site st-marys",
      "status",
    ),
  );

/** Options that every command has. */
function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option("--home <dir>", "home folder (CONSILIUM_COORDINATOR_HOME)", defaultHome)
    .option("--json", "one JSON object a line on standard output");
}

command("serve", "run the coordinator")
  .option("--host <address>", "address to listen on", "127.0.0.1")
  .option("--port <number>", "port to listen on; 0 takes a free one", "8470")
  .option("--plan <file>", "the federation plan; needed at the first start only")
  .option("--gather-ms <ms>", "how long to wait for the rest of the roster once enough sites are there")
  .addHelpText("after", examples("serve --plan plan.json", "serve --host 0.0.0.0 --port 8470"))
  .action(async ({ json, ...options }: ServeOptions & Shared) => {
    const logger = pino(
      { name: "consilium-coordinator", level: env["LOG_LEVEL"] ?? "warn" },
      pino.destination({ dest: 2, sync: true }),
    );
    const coordinator = await serve(options, logger, terminalOf(json === undefined ? {} : { json }));
    // Whoever read our output may be gone; the federation goes on.
    process.stdout.on("error", () => undefined);
    process.on("uncaughtException", fail).on("unhandledRejection", fail);
    const stop = (signal: NodeJS.Signals): void => {
      logger.info({ signal }, "stopping");
      void coordinator.close().then(() => {
        process.exitCode = 0;
      });
    };
    process.once("SIGTERM", stop).once("SIGINT", stop);
  });

command("invite", "make a one-time enrolment token for a site")
  .requiredOption("--site <name>", "the site's name: a-z, 0-9 and hyphens")
  .option("--federation <name>", "which federation, if there are several")
  .option("--valid-days <days>", "how long the token may be used", number, 7)
  .addHelpText("after", examples("invite --site st-marys", "invite --site st-marys --valid-days 1 --json"))
  .action((options: OperatorOptions & Shared & { readonly site: string; readonly validDays: number }) =>
    invite(options, terminalOf(options)),
  );

command("status", "say where the federation stands")
  .option("--federation <name>", "only this one")
  .addHelpText("after", examples("status", "status --json"))
  .action((options: OperatorOptions & Shared) => status(options, terminalOf(options)));

command("plan", "write a federation plan")
  .requiredOption("--federation <name>", "name of the federation: a-z, 0-9 and hyphens")
  .requiredOption("--title <text>", "what people read")
  .requiredOption("--rounds <n>", "rounds in all", number)
  .option("--min-sites <n>", "least number of sites in a round", number)
  .option("--deadline-minutes <n>", "longest time for a round", number)
  .option("--seed <n>", "from which the initial weights follow", number)
  .option("--size <name>", "nano, tiny, small or base")
  .option("--image-px <n>", "side of the image that the network sees", number)
  .option("--patch-px <n>", "side of a patch", number)
  .option("--cache-px <n>", "side of the cached images", number)
  .option("--mask-ratio <f>", "share of hidden patches", number)
  .option("--local-epochs <n>", "passes over a site's images in a round", number)
  .option("--batch-size <n>", "images in a step", number)
  .option("--learning-rate <f>", "peak of the schedule", number)
  .option("--warmup-rounds <n>", "rounds until the peak", number)
  .option("--out <file>", "where to write it; standard output if absent")
  .option("--force", "replace the file")
  .addHelpText(
    "after",
    examples("plan --federation chest --title 'Chest radiographs' --rounds 25 --out plan.json"),
  )
  .action((options: PlanOptions & Shared) => writePlan(options, terminalOf(options)));

command("audit", "check that the audit log was not changed")
  .argument("<action>", "verify")
  .addHelpText("after", examples("audit verify", "audit verify --json"))
  .action((action: string, options: Shared & { readonly home: string }) => {
    if (action !== "verify") {
      throw new ConsiliumError("config.invalid", { detail: "(the action is: verify)", culprits: ["action"] });
    }
    return verifyAudit(options.home, terminalOf(options));
  });

/** A crash is an ordinary way to stop: everything that was acknowledged is on the disk. */
function fail(error: unknown): void {
  process.stderr.write(`${describeError(error)}\n`);
  process.exit(1);
}

program.parseAsync(argv).catch((error: unknown) => {
  const known = toConsiliumError(error);
  if (argv.includes("--json"))
    process.stdout.write(`${JSON.stringify({ event: "error", error: errorBody(known) })}\n`);
  process.stderr.write(`${describeError(known)}\n`);
  process.exitCode = 1;
});
