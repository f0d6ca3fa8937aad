/** Threads that read files, each with a time limit per file: one that hangs or dies is replaced and its file named. */
import type { Worker } from "node:worker_threads";
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

interface Job {
  readonly file: FoundFile;
  readonly resolve: (result: ReadResult) => void;
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

  /** Resolves when a thread has dealt with the file; never rejects. */
  read(file: FoundFile): Promise<ReadResult> {
    return new Promise((resolve) => {
      this.#queue.push({ file, resolve });
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
      void lane.run(job.file).then((result) => {
        job.resolve(result ?? failed(job.file, this.#options.secret));
        this.#dispatch();
      });
    }
  }
}

/** The thread was lost with the file, and with it the header's key. */
function failed(file: FoundFile, secret: Uint8Array): ReadResult {
  return { outcome: "quarantined", key: fileKey(secret, file.relativePath), code: "dicom.decode-failed" };
}

/** One thread at a time, one file at a time. */
class Lane {
  isBusy = false;
  readonly #options: ReadPoolOptions;
  #worker: Worker | null = null;
  /** Ends the job that the thread is at; null means that the thread hung or died. */
  #settle: (result: ReadResult | null) => void = () => undefined;

  constructor(options: ReadPoolOptions) {
    this.#options = options;
  }

  /** @returns null if the thread hung or died */
  async run(file: FoundFile): Promise<ReadResult | null> {
    this.isBusy = true;
    const worker = (this.#worker ??= this.#start());
    const result = await new Promise<ReadResult | null>((resolve) => {
      const timer = setTimeout(() => {
        this.#settle(null);
      }, this.#options.timeoutMs);
      this.#settle = (value) => {
        clearTimeout(timer);
        resolve(value);
      };
      worker.postMessage({ file } satisfies ReadTask);
    });
    if (result === null) await this.close();
    this.isBusy = false;
    return result;
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }

  #start(): Worker {
    const { secret, sizePx, known, script } = this.#options;
    const worker = startThread(script ?? SCRIPT, { secret, sizePx, known } satisfies ReadWorkerData);
    const lost = (): void => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      this.#settle(null);
    };
    worker.on("message", (result: ReadResult) => {
      if (this.#worker === worker) this.#settle(result);
    });
    worker.on("error", lost);
    worker.on("exit", lost);
    return worker;
  }
}
