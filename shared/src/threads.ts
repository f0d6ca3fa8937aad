/** Worker threads that run TypeScript, started from any working directory. */
import { Worker } from "node:worker_threads";

/** To be given to `--import` of a thread or process that starts with a TypeScript file. */
export const TYPESCRIPT_LOADER = new URL("./typescript-loader.mjs", import.meta.url).href;

/**
 * @param script the worker's own file: `new URL("./worker.ts", import.meta.url)`
 * @param workerData anything that can be cloned
 */
export function startThread(script: URL, workerData: unknown): Worker {
  return new Worker(script, { workerData, execArgv: ["--import", TYPESCRIPT_LOADER] });
}
