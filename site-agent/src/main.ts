/** The site's command line, wired to the real process. The only file here that reads `process`. */
import { randomBytes } from "node:crypto";
import os from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { runCli } from "./cli/program.ts";
import type { Terminal } from "./cli/ports.ts";

/** Ctrl-C ends within a second, whatever a training thread is doing. */
const GRACE_MS = 700;

const stop = new AbortController();
const interruption: { code: number | null } = { code: null };

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => {
    if (interruption.code !== null) process.exit(code);
    interruption.code = code;
    stop.abort(new DOMException("interrupted", "AbortError"));
    setTimeout(() => process.exit(code), GRACE_MS);
  });
}
// Whoever reads our output may leave first (`| head`); that is no error.
process.stdout.on("error", () => process.exit());

const code = await runCli(process.argv.slice(2), {
  env: process.env,
  userHome: os.homedir(),
  nodeVersion: process.versions.node,
  cores: os.availableParallelism(),
  memoryBytes: { total: os.totalmem(), free: os.freemem() },
  stdout: terminal(process.stdout),
  stderr: terminal(process.stderr),
  fetch,
  random: (length) => new Uint8Array(randomBytes(length)),
  nowMs: Date.now,
  sleep: async (durationMs, signal) => {
    await delay(durationMs, undefined, { signal }).catch(() => undefined);
  },
  signal: stop.signal,
});
if (interruption.code !== null) process.exit(interruption.code);
process.exitCode = code;

function terminal(stream: NodeJS.WriteStream): Terminal {
  return {
    write: (text) => void stream.write(text),
    isTTY: stream.isTTY,
    get columns() {
      return stream.isTTY ? stream.columns : 80;
    },
  };
}
