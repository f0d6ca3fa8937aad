/** Threads and processes that run TypeScript, started from any working directory. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const SCRIPT = new URL("./start/script.mjs", import.meta.url);

/**
 * @param script the worker's own file: `new URL("./worker.ts", import.meta.url)`
 * @param workerData anything that can be cloned
 */
export function startThread(script: URL, workerData: unknown): Worker {
  return new Worker(SCRIPT, { workerData, argv: [script.href], execArgv: [] });
}

/** What to give to Node.js, before the script's own arguments, to run it in a process. */
export const scriptArguments = (script: URL): readonly [string, string] => [
  fileURLToPath(SCRIPT),
  script.href,
];
