/** Runs the real command lines as processes, and reads their NDJSON. */
import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";

export const root = path.resolve(import.meta.dirname, "../..");

const BINS = {
  coordinator: "coordinator/bin/consilium-coordinator.mjs",
  site: "site-agent/bin/consilium-site.mjs",
} as const;

export type JsonLine = Readonly<Record<string, unknown>>;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One running command. */
export class Cli {
  readonly lines: JsonLine[] = [];
  /** Everything that was printed on either stream. */
  output = "";
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #wake: () => void = () => undefined;

  constructor(bin: keyof typeof BINS, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(process.execPath, [path.join(root, BINS[bin]), ...args], {
      env: { ...process.env, LOG_LEVEL: "info", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error("the streams are pipes");
    createInterface({ input: stdout }).on("line", (line) => {
      this.output += `${line}\n`;
      if (line.startsWith("{")) this.lines.push(JSON.parse(line) as JsonLine);
      this.#wake();
    });
    stderr.on("data", (data: Buffer) => (this.output += data.toString()));
    this.exited = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => {
        resolve({ code, signal });
        this.#wake();
      });
    });
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    this.#child.kill(signal);
    return this.exited;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The first line, of those so far and those to come, that matches. */
  async waitFor(matches: (line: JsonLine) => boolean): Promise<JsonLine> {
    for (;;) {
      const found = this.lines.find(matches);
      if (found !== undefined) return found;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the command ended before it said so:\n${this.output}`);
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** Runs a command to its end. @returns its last JSON line; throws with its output unless it exits with 0 */
export async function runCli(bin: keyof typeof BINS, args: readonly string[]): Promise<JsonLine> {
  const cli = new Cli(bin, args);
  const { code } = await cli.exited;
  if (code !== 0) throw new Error(`${bin} ${args[0] ?? ""} exited with ${String(code)}:\n${cli.output}`);
  return cli.lines.at(-1) ?? {};
}
