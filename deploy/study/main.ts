/** The study's composition: the real terminal, clock, processes and disk. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describeError, toConsiliumError } from "@consilium/shared/errors";
import { CommanderError } from "commander";
import { ChildFailure, Children } from "../demo/children.ts";
import { cores } from "../demo/machine.ts";
import { liveProgress, plainProgress } from "../demo/progress.ts";
import { Journal } from "./journal.ts";
import { parseOptions, type StudyOptions } from "./options.ts";
import { renderPage, renderTables } from "./results.ts";
import { runStudy } from "./study.ts";

const write = (text: string): void => void process.stdout.write(text);

function optionsOrExit(): StudyOptions {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Commander has said what is wrong.
    process.exit(error.exitCode);
  }
}

async function main(options: StudyOptions): Promise<number> {
  const out = resolve(options.out);
  // Its name is ours alone, so that removing it never takes anyone else's files.
  const work = join(out, "consilium-study-work");
  const journalFile = join(out, "study.json");
  if (options.fresh) for (const made of [work, journalFile]) await rm(made, { recursive: true, force: true });
  await mkdir(work, { recursive: true }).catch((error: unknown) => {
    throw toConsiliumError(error);
  });
  const journal = await Journal.open(journalFile, options);
  const children = new Children(join(out, "logs"));
  const stop = new AbortController();
  // Whatever happens, nobody is left behind.
  process.on("exit", () => {
    children.killNow();
  });
  let closing: Promise<void> | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      stop.abort(new Error(signal));
      closing ??= children.close();
    });
  }
  const progress = process.stdout.isTTY ? liveProgress(write) : plainProgress(write, () => performance.now());
  try {
    await runStudy(options, { children, work, journal, progress, signal: stop.signal, cores: cores() });
    await children.close();
    const page = join(out, "study.html");
    await writeFile(page, renderPage(journal, "How many labels an encoder saves"));
    write(`\n${renderTables(journal)}\n\n  Page     ${page}\n  Numbers  ${journalFile}\n`);
    return 0;
  } catch (error) {
    await (closing ?? children.close());
    if (stop.signal.aborted) {
      write(`\nStopped; the same command goes on from here.\n  logs: ${join(out, "logs")}\n`);
      return 130;
    }
    process.stderr.write(`\n${explain(error)}\n  logs: ${join(out, "logs")}\n`);
    return 1;
  }
}

/** What went wrong, where, and what to do: no stack. */
function explain(error: unknown): string {
  if (!(error instanceof ChildFailure)) return describeError(error);
  const { child, body } = error;
  return `${child}: ${body.message}\n  code: ${body.code}\n  next: ${body.next}`;
}

const options = optionsOrExit();
try {
  process.exit(await main(options));
} catch (error) {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
}
