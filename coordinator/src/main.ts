/** The only file of the coordinator that reads the process. */
import { homedir } from "node:os";
import path from "node:path";
import { describeError, errorBody, toConsiliumError } from "@consilium/shared/errors";
import { parseLine } from "@consilium/shared/misuse";
import { CommanderError } from "commander";
import { createProgram } from "./cli/program.ts";
import type { ServeOptions } from "./cli/serve.ts";
import type { Terminal } from "./cli/terminal.ts";

const { env, argv } = process;

/** Whoever reads our output may leave first (`| head`); that is no error. */
const leave = (): void => process.exit();
process.stdout.on("error", leave);

async function serveUntilStopped(options: ServeOptions, terminal: Terminal): Promise<void> {
  const { pino } = await import("pino");
  const { serve } = await import("./cli/serve.ts");
  const logger = pino(
    { name: "consilium-coordinator", level: env["LOG_LEVEL"] ?? "warn" },
    pino.destination({ dest: 2, sync: true }),
  );
  // The federation goes on.
  process.stdout.off("error", leave).on("error", () => undefined);
  process.on("uncaughtException", fail).on("unhandledRejection", fail);
  const coordinator = await serve(options, logger, terminal);
  const stop = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, "stopping");
    void coordinator.close();
  };
  process.once("SIGTERM", stop).once("SIGINT", stop);
  const { certificates } = coordinator;
  if (certificates !== null) process.on("SIGHUP", () => void certificates.reload());
}

/** A crash is an ordinary way to stop: everything that was acknowledged is on the disk. */
function fail(error: unknown): void {
  process.stderr.write(`${describeError(error)}\n`);
  process.exit(1);
}

const program = createProgram({
  defaultHome: env["CONSILIUM_COORDINATOR_HOME"] ?? path.join(homedir(), ".consilium", "coordinator"),
  print: (line) => {
    process.stdout.write(`${line}\n`);
  },
  serve: serveUntilStopped,
});

const FIRST_ARGUMENT = 2;
if (argv.length === FIRST_ARGUMENT) program.outputHelp();
else
  await parseLine(program, argv.slice(FIRST_ARGUMENT)).catch((error: unknown) => {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const known = toConsiliumError(error);
    if (argv.includes("--json")) {
      process.stdout.write(`${JSON.stringify({ event: "error", error: errorBody(known) })}\n`);
    }
    process.stderr.write(`${describeError(known)}\n`);
    process.exitCode = 1;
  });
