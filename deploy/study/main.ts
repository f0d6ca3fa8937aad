/** The study's composition: the real terminal, clock, processes and disk. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { toConsiliumError } from "@consilium/shared/errors";
import { Children } from "../demo/children.ts";
import { cores } from "../demo/machine.ts";
import { runProgram, supervise, write } from "../demo/supervise.ts";
import { Journal } from "./journal.ts";
import { parseOptions, type StudyOptions } from "./options.ts";
import { renderPage, renderTables } from "./results.ts";
import { runStudy } from "./study.ts";

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
  const logs = join(out, "logs");
  const children = new Children(logs);
  return supervise(
    { children, logs, stopped: "Stopped; the same command goes on from here." },
    async (progress, signal) => {
      await runStudy(options, { children, work, journal, progress, signal, cores: cores() });
      await children.close();
      const page = join(out, "study.html");
      await writeFile(page, renderPage(journal, "How many labels an encoder saves"));
      write(`\n${renderTables(journal)}\n\n  Page     ${page}\n  Numbers  ${journalFile}\n`);
    },
  );
}

await runProgram(parseOptions, main);
