/**
 * A folder that fills: each file is read once it has settled. Looks at the whole folder from time to time, since network
 * shares tell nothing, and earlier where the file system tells of a change.
 */
import { watch } from "node:fs";
import { stat } from "node:fs/promises";
import { toConsiliumError } from "@consilium/shared/errors";
import { CacheIntake, QUIET_MS } from "../cache-intake.ts";
import { walkFiles, type FoundFile } from "../folder.ts";
import { folderSource, progressOf, summaryOf, type IngestOptions, type IntakeSummary } from "../ingest.ts";

export interface WatchOptions extends Omit<IngestOptions, "labelsFile" | "signal"> {
  /** Between two looks, where nothing tells of a change. */
  readonly pollMs: number;
  /** A file whose size and time stay the same for so long is complete. */
  readonly settleMs: number;
  /** Under a plan for volumes: a series is complete when nothing of it came for so long. */
  readonly quietMs?: number;
  readonly nowMs: () => number;
  /** Ends the watching between two files; what was read is kept. */
  readonly signal: AbortSignal;
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
  /** After each look that found new files, once they are in the cache. */
  readonly onCaughtUp: (summary: IntakeSummary) => void;
}

/**
 * Never ends by itself.
 * @throws ingest.folder-missing, config.invalid (another image size), disk.full; the signal's reason
 */
export async function watchFolder(options: WatchOptions): Promise<never> {
  const { folder, signal, sleep, pollMs, settleMs, quietMs = QUIET_MS, onCaughtUp, onProgress } = options;
  const hint = changeHint(folder);
  const settling = new Settling(settleMs);
  try {
    const intake = await CacheIntake.open(options, folderSource(options));
    try {
      for (;;) {
        hint.reset();
        const { ready, unsettled } = await settling.look(folder, options.nowMs, signal);
        if (ready.length > 0 || intake.isWaiting) {
          const total = intake.tally.files + ready.length;
          let taken = 0;
          const onTaken = (): void => {
            taken += 1;
            onProgress?.(progressOf(intake.tally, total));
          };
          await intake.take(ready, { signal, quietMs, onTaken });
          await intake.save();
          if (taken > 0) onCaughtUp(summaryOf(await intake.record()));
        }
        signal.throwIfAborted();
        if (unsettled || intake.isWaiting) await sleep(settleMs, signal);
        else await sleep(pollMs, AbortSignal.any([signal, hint.signal()]));
        signal.throwIfAborted();
      }
    } finally {
      await intake.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw toConsiliumError(error);
  } finally {
    hint.close();
  }
}

/** What a file was like when it was last looked at. */
interface Look {
  readonly state: string;
  /** Since when it has been so, by our own clock: that of a network share may be another. */
  readonly sinceMs: number;
  readonly isTaken: boolean;
}

/** Which files have come to rest since they were last taken. */
class Settling {
  readonly #settleMs: number;
  #looks = new Map<string, Look>();

  constructor(settleMs: number) {
    this.#settleMs = settleMs;
  }

  async look(
    folder: string,
    nowMs: () => number,
    signal: AbortSignal,
  ): Promise<{ readonly ready: readonly FoundFile[]; readonly unsettled: boolean }> {
    const before = this.#looks;
    this.#looks = new Map();
    const ready: FoundFile[] = [];
    let unsettled = false;
    for await (const file of walkFiles(folder)) {
      signal.throwIfAborted();
      const state = await stateOf(file.path);
      const earlier = before.get(file.relativePath);
      const isSame = earlier?.state === state;
      const sinceMs = isSame ? earlier.sinceMs : nowMs();
      const isDue = !(isSame && earlier.isTaken);
      const isReady = isDue && nowMs() - sinceMs >= this.#settleMs;
      if (isReady) ready.push(file);
      else if (isDue) unsettled = true;
      this.#looks.set(file.relativePath, { state, sinceMs, isTaken: !isDue || isReady });
    }
    return { ready, unsettled };
  }
}

/** A file that cannot be looked at is read all the same, and set aside as unreadable. */
async function stateOf(path: string): Promise<string> {
  try {
    const { size, mtimeMs, ino } = await stat(path);
    return `${size} ${mtimeMs} ${ino}`;
  } catch {
    return "gone";
  }
}

interface ChangeHint {
  /** Fires when something has changed since the last reset. */
  signal(): AbortSignal;
  reset(): void;
  close(): void;
}

/** No more than a hint: not every file system gives it, nor of every change. */
function changeHint(folder: string): ChangeHint {
  let changed = new AbortController();
  const onChange = (): void => {
    changed.abort();
  };
  let close = (): void => undefined;
  try {
    const watcher = watch(folder, { recursive: true }, onChange).on("error", () => undefined);
    close = () => {
      watcher.close();
    };
  } catch {
    // The looks at fixed times find everything, only later.
  }
  return {
    signal: () => changed.signal,
    reset() {
      changed = new AbortController();
    },
    close() {
      close();
    },
  };
}
