/** A command of the site in the test's own process, without the time that another one takes to start. */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { CliPorts } from "../ports.ts";
import { runCli } from "../program.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they were written. */
  readonly output: string;
}

/** @param ports what differs from a machine of two cores, with the time, the network and the chance that there are */
export async function runInProcess(
  args: readonly string[],
  ports: Partial<CliPorts> & Pick<CliPorts, "userHome">,
): Promise<Ran> {
  const written = { stdout: "", stderr: "", output: "" };
  const terminal = (name: "stdout" | "stderr") => ({
    write: (text: string) => {
      written[name] += text;
      written.output += text;
    },
    isTTY: false,
    columns: 80,
  });
  const code = await runCli(args, {
    env: {},
    nodeVersion: process.versions.node,
    cores: 2,
    memoryBytes: { total: 2 ** 33, free: 2 ** 32 },
    stdout: terminal("stdout"),
    stderr: terminal("stderr"),
    fetch,
    random: (length) => new Uint8Array(randomBytes(length)),
    nowMs: Date.now,
    sleep: (durationMs, signal) => delay(durationMs, undefined, { signal }).catch(() => undefined),
    signal: new AbortController().signal,
    ...ports,
  });
  return { code, ...written };
}
