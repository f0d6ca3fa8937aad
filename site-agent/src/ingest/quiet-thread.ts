/** What every thread that meets hospital files starts with. */
import { parentPort, type MessagePort } from "node:worker_threads";

/** Silences the console: libraries print what they choke on, which may be a header's value. */
export function quietConsole(): void {
  const silent = (): void => undefined;
  Object.assign(console, {
    log: silent,
    info: silent,
    warn: silent,
    error: silent,
    debug: silent,
    trace: silent,
  });
}

export function quietThread(): MessagePort {
  quietConsole();
  if (parentPort === null) throw new Error("this file runs as a worker thread");
  return parentPort;
}
