/** Threads that read files, each with a time limit per file: one that hangs or dies is replaced and its file named. */
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { fileKey } from "../dataset/keys.ts";
import { startThread } from "@consilium/shared/threads";
import type { FoundFile } from "./folder.ts";
import type { ReadResult } from "./read-image.ts";

export interface ReadTask {
  readonly file: FoundFile;
}

export interface ReadWorkerData {
  readonly secret: Uint8Array;
  readonly sizePx: number;
  /** See known-keys.ts. */
  readonly known: SharedArrayBuffer;
}

export interface ReadPoolOptions extends ReadWorkerData {
  readonly threads: number;
  /** From when a thread begins with a file until it is given up. */
  readonly timeoutMs: number;
  /** The worker's file; tests hand in one that misbehaves. */
  readonly script?: URL;
}

/** A thread's answers: that it is up, then one result per task. */
export type ReadReply = "ready" | ReadResult;

interface Job {
  readonly file: FoundFile;
  readonly resolve: (result: ReadResult) => void;
  readonly reject: (error: unknown) => void;
}

const SCRIPT = new URL("./read-worker.ts", import.meta.url);

export class ReadPool {
  readonly #options: ReadPoolOptions;
  readonly #queue: Job[] = [];
  readonly #lanes: Lane[];

  constructor(options: ReadPoolOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: Math.max(1, options.threads) }, () => new Lane(options));
  }

  /**
   * Resolves when a thread has dealt with the file or was lost over it.
   * @throws internal if threads do not start at all
   */
  read(file: FoundFile): Promise<ReadResult> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ file, resolve, reject });
      this.#dispatch();
    });
  }

  /** Files still waiting are never resolved. */
  async close(): Promise<void> {
    this.#queue.length = 0;
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  #dispatch(): void {
    for (const lane of this.#lanes) {
      if (lane.isBusy) continue;
      const job = this.#queue.shift();
      if (job === undefined) return;
      void this.#run(lane, job);
    }
  }

  async #run(lane: Lane, { file, resolve, reject }: Job): Promise<void> {
    try {
      resolve((await lane.run(file)) ?? failed(file, this.#options.secret));
    } catch (error) {
      reject(error);
    }
    this.#dispatch();
  }
}

/** The thread was lost with the file, and with it the header's key. */
function failed(file: FoundFile, secret: Uint8Array): ReadResult {
  return { outcome: "quarantined", key: fileKey(secret, file.relativePath), code: "dicom.decode-failed" };
}

/** A thread and what it is at. */
interface RunningThread {
  readonly worker: Worker;
  /** Whether it came up. */
  readonly started: Promise<boolean>;
  /** Ends the job that it is at; null means that it hung or died. */
  settle: (result: ReadResult | null) => void;
}

/** One thread at a time, one file at a time. */
class Lane {
  isBusy = false;
  readonly #options: ReadPoolOptions;
  #thread: RunningThread | null = null;

  constructor(options: ReadPoolOptions) {
    this.#options = options;
  }

  /**
   * @returns null if the thread hung or died
   * @throws internal if it did not start
   */
  async run(file: FoundFile): Promise<ReadResult | null> {
    this.isBusy = true;
    try {
      const thread = (this.#thread ??= this.#start());
      // Starting takes its time on a busy machine; that is not the file's fault.
      if (!(await thread.started))
        throw new ConsiliumError("internal", { detail: "(a reading thread did not start)" });
      const result = await this.#give(thread, file);
      if (result === null) await this.close();
      return result;
    } finally {
      this.isBusy = false;
    }
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = null;
    await thread?.worker.terminate();
  }

  #give(thread: RunningThread, file: FoundFile): Promise<ReadResult | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        thread.settle(null);
      }, this.#options.timeoutMs);
      thread.settle = (result) => {
        clearTimeout(timer);
        resolve(result);
      };
      // It may have died since its last file.
      if (this.#thread === thread) thread.worker.postMessage({ file } satisfies ReadTask);
      else thread.settle(null);
    });
  }

  #start(): RunningThread {
    const { secret, sizePx, known, script } = this.#options;
    const worker = startThread(script ?? SCRIPT, { secret, sizePx, known } satisfies ReadWorkerData);
    let onStart: (isUp: boolean) => void = () => undefined;
    const started = new Promise<boolean>((resolve) => (onStart = resolve));
    const thread: RunningThread = { worker, started, settle: () => undefined };
    const lost = (): void => {
      onStart(false);
      if (this.#thread === thread) this.#thread = null;
      thread.settle(null);
    };
    worker.on("message", (reply: ReadReply) => {
      if (reply === "ready") onStart(true);
      else thread.settle(reply);
    });
    worker.on("error", lost);
    worker.on("exit", lost);
    return thread;
  }
}
