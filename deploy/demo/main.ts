/** The demo's composition: the real terminal, clock, processes and disk. */
import { join, resolve } from "node:path";
import { formatDurationMs } from "@consilium/shared/units";
import { assemble } from "./assemble.ts";
import { Children } from "./children.ts";
import { runDemo } from "./demo.ts";
import { prepareFolders, removeWork, writeText } from "./folders.ts";
import { cores, describeMachine, versions } from "./machine.ts";
import { parseOptions, type DemoOptions } from "./options.ts";
import { renderReport } from "./report/render.ts";
import { runProgram, supervise, write } from "./supervise.ts";
import { isTooShort, TOO_SHORT } from "./report/summary.ts";
import { renderTable } from "./table.ts";

const ABOUT_PHANTOMS =
  "  Phantoms show how it works, not what it is worth: they are drawn, sick and healthy alike.\n" +
  "  For real radiographs (--data DIR) see docs/performance.md.";

async function main(options: DemoOptions): Promise<number> {
  const startedAt = new Date();
  const nowMs = (): number => performance.now();
  const startMs = nowMs();
  const out = resolve(options.out);
  const folders = await prepareFolders(out);
  const children = new Children(folders.logs);
  return supervise(
    { children, logs: folders.logs, stopped: "Stopped; no process is left." },
    async (progress, signal) => {
      const outcome = await runDemo(options, {
        children,
        folders,
        progress,
        signal,
        cores: cores(),
        nowMs,
      });
      const result = await assemble(options, outcome, {
        startedAt,
        durationMs: nowMs() - startMs,
        machine: describeMachine(process.versions.node),
        versions: versions(),
      });
      await children.close();
      const report = options.report === null ? join(out, "report.html") : resolve(options.report);
      const json = options.json === null ? join(out, "demo.json") : resolve(options.json);
      await writeText(report, renderReport(result));
      await writeText(json, `${JSON.stringify(result, null, 2)}\n`);
      if (!options.keep) await removeWork(folders);
      write(
        `\n  ${result.question}\n${isTooShort(result) ? `  ${TOO_SHORT}\n` : ""}\n${renderTable(result.summary)}\n\n`,
      );
      if (result.data === "phantom") write(`${ABOUT_PHANTOMS}\n\n`);
      for (const { name, target, value, ok } of result.checks) {
        write(`  ${ok ? "✔" : "✖"} ${name}: ${value} (${target})\n`);
      }
      write(
        `\n  Report   ${report}\n  Numbers  ${json}\n  Took     ${formatDurationMs(result.durationMs)}\n`,
      );
    },
  );
}

await runProgram(parseOptions, main);
