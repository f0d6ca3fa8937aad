/**
 * What a command shows. People get one line that is rewritten in place (plain lines where the terminal cannot), on
 * standard error, and the result on standard output. With --json standard output carries NDJSON and nothing else.
 */
import { describeError, errorBody, toConsiliumError } from "@consilium/shared/errors";
import type { CliPorts, Terminal } from "./ports.ts";

export interface ProgressLine {
  /** Lines of one kind replace each other; the first and the last of a kind are always shown. */
  readonly kind: string;
  readonly text: string;
  readonly last?: boolean;
  /** For programs. */
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Output {
  progress(line: ProgressLine): void;
  /** Something that happens once and is worth a line, for people and programs. */
  event(name: string, data: Readonly<Record<string, unknown>>, text: string): void;
  /** Something that a person should read and a program need not. */
  note(text: string): void;
  /** The last thing that a command shows. */
  result(data: Readonly<Record<string, unknown>>, text: string): void;
  error(error: unknown): void;
}

const REDRAW_MS = 100;
const JSON_EVERY_MS = 250;
/** Logs of a service should not fill up with steps. */
const PLAIN_EVERY_MS = 10_000;

export function createOutput(ports: Pick<CliPorts, "stdout" | "stderr" | "nowMs">, json: boolean): Output {
  const { stdout, stderr, nowMs } = ports;
  const every = json ? JSON_EVERY_MS : stderr.isTTY ? REDRAW_MS : PLAIN_EVERY_MS;
  const live = new LiveLine(stderr);
  let lastKind = "";
  let lastMs = -Infinity;
  const print = (data: object): void => {
    stdout.write(`${JSON.stringify(data)}\n`);
  };
  return {
    progress({ kind, text, last = false, data }) {
      const isNews = kind !== lastKind || last;
      if (!isNews && nowMs() - lastMs < every) return;
      lastKind = kind;
      lastMs = nowMs();
      if (json) print({ event: "progress", ...data });
      else live.show(text);
    },
    event(name, data, text) {
      if (json) print({ event: name, ...data });
      else live.keep(text);
    },
    note(text) {
      if (!json) live.keep(text);
    },
    result(data, text) {
      live.clear();
      if (json) print({ event: "result", ...data });
      else stdout.write(`${text.trimEnd()}\n`);
    },
    error(error) {
      live.clear();
      if (json) print({ event: "error", ...errorBody(toConsiliumError(error)) });
      stderr.write(`${describeError(error)}\n`);
    },
  };
}

/** One line at the bottom of the terminal. */
class LiveLine {
  readonly #terminal: Terminal;
  #shown = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(text: string): void {
    if (!this.#terminal.isTTY) {
      this.#terminal.write(`${text}\n`);
      return;
    }
    // A line that wraps cannot be taken back.
    const room = Math.max(20, this.#terminal.columns - 1);
    this.#terminal.write(`\r\u001b[2K${text.length > room ? `${text.slice(0, room - 1)}…` : text}`);
    this.#shown = true;
  }

  /** Puts a line above the live one. */
  keep(text: string): void {
    this.clear();
    this.#terminal.write(`${text}\n`);
  }

  clear(): void {
    if (this.#shown) this.#terminal.write("\r\u001b[2K");
    this.#shown = false;
  }
}
