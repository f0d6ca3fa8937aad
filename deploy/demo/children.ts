/**
 * The demo's child processes. Each leads a process group of its own, so that ending it ends whatever it started, and
 * so that a terminal's Ctrl-C reaches the demo alone, which then ends them in order.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ERRORS } from "@consilium/shared/errors";
import { errorBodySchema, type ErrorBody } from "@consilium/shared/protocol/http";
import { z } from "zod";

export type JsonLine = Readonly<Record<string, unknown>>;

/** A child that ended badly, in its own words. */
export class ChildFailure extends Error {
  /** Which child, for people: `hospital-a ingest`. */
  readonly child: string;
  readonly body: ErrorBody;

  constructor(child: string, body: ErrorBody) {
    super(body.message);
    this.name = "ChildFailure";
    this.child = child;
    this.body = body;
  }
}

export interface Command {
  /** For people and for the log's name. */
  readonly name: string;
  /** The .mjs file to run. */
  readonly script: string;
  readonly args: readonly string[];
  readonly onLine?: (line: JsonLine) => void;
  /** Its output is not logged. */
  readonly secret?: boolean;
}

interface Running {
  readonly name: string;
  readonly process: ChildProcess;
  /** Resolves with the last JSON line; rejects with ChildFailure. */
  readonly ended: Promise<JsonLine>;
  stopping: boolean;
}

/** Time for a child to put its affairs in order before it is killed. */
const GRACE_MS = 4_000;
/** The dashboard's address holds the operator's token. */
const TOKEN = /([?&]token=)[^"&\s]+/g;
const OWN_GROUPS = process.platform !== "win32";

export class Children {
  readonly #logs: string;
  readonly #running = new Set<Running>();
  #closed = false;

  /** @param logs folder for one log per child */
  constructor(logs: string) {
    this.#logs = logs;
    mkdirSync(logs, { recursive: true });
  }

  /** Runs a command to its end. @returns its last JSON line @throws ChildFailure */
  async run(command: Command): Promise<JsonLine> {
    return this.#start(command).ended;
  }

  /**
   * Starts a command that stays.
   * @returns the first JSON line that matches, and a promise that rejects if the command ends before it is stopped
   */
  async serve(
    command: Command,
    isReady: (line: JsonLine) => boolean,
  ): Promise<{ readonly line: JsonLine; readonly failed: Promise<never> }> {
    let seen: (line: JsonLine) => void = () => undefined;
    const line = new Promise<JsonLine>((resolve) => (seen = resolve));
    const child = this.#start({
      ...command,
      onLine: (each) => {
        if (isReady(each)) seen(each);
        command.onLine?.(each);
      },
    });
    const failed = child.ended.then(
      () => {
        throw new ChildFailure(command.name, unexplained("ended too early"));
      },
      (error: unknown) => {
        throw error;
      },
    );
    // It is awaited only while something depends on the command.
    failed.catch(() => undefined);
    return { line: await Promise.race([line, failed]), failed };
  }

  #start({ name, script, args, onLine, secret = false }: Command): Running {
    if (this.#closed) throw new ChildFailure(name, unexplained("was not started: the demo is ending"));
    const child = spawn(process.execPath, [script, ...args], {
      detached: OWN_GROUPS,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(join(this.#logs, `${name.replaceAll(" ", "-")}.log`), { flags: "a" });
    let last: JsonLine = {};
    let failure: ErrorBody | null = null;
    const tail: string[] = [];
    createInterface({ input: child.stdout }).on("line", (text) => {
      if (!secret) log.write(`${text.replace(TOKEN, "$1…")}\n`);
      const line = parseLine(text);
      if (line === null) return;
      failure = failureIn(line) ?? failure;
      last = line;
      onLine?.(line);
    });
    createInterface({ input: child.stderr }).on("line", (text) => {
      log.write(`${text}\n`);
      tail.push(text);
      if (tail.length > 40) tail.shift();
    });
    const running: Running = {
      name,
      process: child,
      stopping: false,
      ended: new Promise((resolve, reject) => {
        child.on("error", () => {
          reject(new ChildFailure(name, unexplained("could not be started")));
        });
        child.on("close", (code) => {
          this.#running.delete(running);
          log.end();
          if (code === 0) resolve(last);
          else
            reject(
              new ChildFailure(name, failure ?? failureInText(tail) ?? unexplained("ended with an error")),
            );
        });
      }),
    };
    running.ended.catch(() => undefined);
    this.#running.add(running);
    return running;
  }

  /** Ends all children, kindly first; resolves when none is left. No child can be started afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    const children = [...this.#running];
    for (const child of children) signalGroup(child.process, "SIGTERM");
    const timer = setTimeout(() => {
      this.killNow();
    }, GRACE_MS);
    await Promise.allSettled(children.map(({ ended }) => ended));
    clearTimeout(timer);
    // A leader may be gone while someone of its group is not.
    for (const child of children) signalGroup(child.process, "SIGKILL");
  }

  /** Ends all children at once; safe in an exit handler. */
  killNow(): void {
    this.#closed = true;
    for (const child of this.#running) signalGroup(child.process, "SIGKILL");
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (OWN_GROUPS) process.kill(-child.pid, signal);
    else child.kill(signal);
  } catch {
    // ESRCH: the group has ended.
  }
}

function parseLine(text: string): JsonLine | null {
  if (!text.startsWith("{")) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as JsonLine) : null;
  } catch {
    return null;
  }
}

const looseErrorSchema = z.looseObject({ code: z.string(), message: z.string(), next: z.string() });

/** The error that a command reports with --json: bare, or under `error`. */
function failureIn(line: JsonLine): ErrorBody | null {
  for (const value of [line["error"], line]) {
    const parsed = looseErrorSchema.safeParse(value);
    if (parsed.success) {
      const { code, message, next } = parsed.data;
      return errorBodySchema.parse({ code, message, next, culprits: [] });
    }
  }
  return null;
}

/** The three lines that a command prints for people: message, code, next. */
function failureInText(tail: readonly string[]): ErrorBody | null {
  const at = tail.findLastIndex((line) => line.startsWith("  code: "));
  const [message, code, next] = [tail[at - 1], tail[at], tail[at + 1]];
  if (message === undefined || code === undefined || next?.startsWith("  next: ") !== true) return null;
  return { code: code.slice(8), message, next: next.slice(8), culprits: [] };
}

function unexplained(what: string): ErrorBody {
  return { code: "internal", message: `It ${what}.`, next: ERRORS.internal.next, culprits: [] };
}
