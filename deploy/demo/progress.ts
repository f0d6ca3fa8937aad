/** What the person at the terminal sees while the demo runs. */
import { Listr } from "listr2";

export type Say = (text: string) => void;

export interface Progress {
  /**
   * One step, from its title to its end.
   *
   * @param work says how far it is, as often as it likes
   * @param done what is shown behind the title afterwards
   */
  step<T>(title: string, work: (say: Say) => Promise<T>, done?: (result: T) => string): Promise<T>;
  /** A line that stays. */
  note(text: string): void;
}

/** Spinners that move; for terminals. */
export function liveProgress(write: (text: string) => void): Progress {
  return {
    async step<T>(title: string, work: (say: Say) => Promise<T>, done?: (result: T) => string): Promise<T> {
      let result: Promise<T> | undefined;
      const list = new Listr(
        [
          {
            title,
            task: async (_, task) => {
              result = work((text) => {
                task.output = text;
              });
              const value = await result;
              if (done !== undefined) task.title = `${title}: ${done(value)}`;
            },
          },
        ],
        {
          // Signals are the demo's own business, and errors are shown once, at the end.
          registerSignalListeners: false,
          rendererOptions: { showErrorMessage: false, collapseErrors: false },
        },
      );
      await list.run();
      if (result === undefined) throw new Error("the step did not run");
      return result;
    },
    note(text) {
      write(`${text}\n`);
    },
  };
}

/** At most one line of progress in this time. */
const QUIET_MS = 5_000;

/** Plain lines with the seconds since the start; for logs and pipes. */
export function plainProgress(write: (text: string) => void, nowMs: () => number): Progress {
  const startedAt = nowMs();
  const line = (text: string): void => {
    write(`[${String(Math.round((nowMs() - startedAt) / 1000)).padStart(4)} s] ${text}\n`);
  };
  return {
    async step(title, work, done) {
      line(title);
      let saidAt = nowMs();
      const result = await work((text) => {
        if (nowMs() - saidAt < QUIET_MS) return;
        saidAt = nowMs();
        line(`  ${text}`);
      });
      if (done !== undefined) line(`  done: ${done(result)}`);
      return result;
    },
    note(text) {
      write(`${text}\n`);
    },
  };
}
