/** A run whose work is done by children: signals end it in order, and whatever happens, nobody is left behind. */
import { describeError } from "@consilium/shared/errors";
import { CommanderError } from "commander";
import { ChildFailure, type Children } from "./children.ts";
import { liveProgress, plainProgress, type Progress } from "./progress.ts";

export const write = (text: string): void => void process.stdout.write(text);

export interface Supervised {
  readonly children: Children;
  readonly logs: string;
  /** What is said after a signal. */
  readonly stopped: string;
}

/** @returns the exit code */
export async function supervise(
  { children, logs, stopped }: Supervised,
  work: (progress: Progress, signal: AbortSignal) => Promise<void>,
): Promise<number> {
  const stop = new AbortController();
  process.on("exit", () => {
    children.killNow();
  });
  let closing: Promise<void> | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      stop.abort(new Error(signal));
      closing ??= children.close();
    });
  }
  const nowMs = (): number => performance.now();
  const progress = process.stdout.isTTY ? liveProgress(write) : plainProgress(write, nowMs);
  try {
    await work(progress, stop.signal);
    // A signal in the last step, which looks no more.
    stop.signal.throwIfAborted();
    return 0;
  } catch (error) {
    await (closing ?? children.close());
    if (stop.signal.aborted) {
      write(`\n${stopped}\n  logs: ${logs}\n`);
      return 130;
    }
    process.stderr.write(`\n${explain(error)}\n  logs: ${logs}\n`);
    return 1;
  }
}

/** A program's whole life, from its command line to its exit code. */
export async function runProgram<Options>(
  parse: (args: readonly string[]) => Options,
  main: (options: Options) => Promise<number>,
): Promise<never> {
  try {
    process.exit(await main(parse(process.argv.slice(2))));
  } catch (error) {
    // Commander has said what is wrong.
    if (error instanceof CommanderError) process.exit(error.exitCode);
    process.stderr.write(`${explain(error)}\n`);
    process.exit(1);
  }
}

/** What went wrong, where, and what to do: no stack. */
function explain(error: unknown): string {
  if (!(error instanceof ChildFailure)) return describeError(error);
  const { child, body } = error;
  return `${child}: ${body.message}\n  code: ${body.code}\n  next: ${body.next}`;
}
