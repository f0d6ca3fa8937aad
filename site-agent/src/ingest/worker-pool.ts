/** Threads that work on files, each with a time limit: one that hangs or dies is replaced, and the others go on. */
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { startThread } from "@consilium/shared/threads";

export interface WorkerPoolOptions {
  readonly threads: number;
  /** From when a thread begins with a task, or last said that it is alive, until it is given up. */
  readonly timeoutMs: number;
  /** The worker's own file. */
  readonly script: URL;
  /** What every thread is started with. */
  readonly data: unknown;
}

/** What a thread says: that it is up, that a long task goes on, then one result per task. */
export type WorkerReply<Result extends object> = "ready" | "alive" | Result;

interface Job<Task, Result> {
  readonly task: Task;
  readonly resolve: (result: Result | null) => void;
  readonly reject: (error: unknown) => void;
}

export class WorkerPool<Task, Result extends object> {
  readonly #queue: Job<Task, Result>[] = [];
  readonly #lanes: Lane<Task, Result>[];

  constructor(options: WorkerPoolOptions) {
    this.#lanes = Array.from({ length: Math.max(1, options.threads) }, () => new Lane(options));
  }

  /**
   * Resolves with null if the thread hung or died over the task.
   * @throws internal if threads do not start at all
   */
  run(task: Task): Promise<Result | null> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, resolve, reject });
      this.#dispatch();
    });
  }

  /** Tasks still waiting are never resolved. */
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

  async #run(lane: Lane<Task, Result>, { task, resolve, reject }: Job<Task, Result>): Promise<void> {
    try {
      resolve(await lane.run(task));
    } catch (error) {
      reject(error);
    }
    this.#dispatch();
  }
}

/** A thread and what it is at. */
interface RunningThread<Result> {
  readonly worker: Worker;
  /** Whether it came up. */
  readonly started: Promise<boolean>;
  /** Gives the task another full time limit. */
  prolong: () => void;
  /** Ends the task that it is at; null means that it hung or died. */
  settle: (result: Result | null) => void;
}

/** One thread at a time, one task at a time. */
class Lane<Task, Result extends object> {
  isBusy = false;
  readonly #options: WorkerPoolOptions;
  #thread: RunningThread<Result> | null = null;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /**
   * @returns null if the thread hung or died
   * @throws internal if it did not start
   */
  async run(task: Task): Promise<Result | null> {
    this.isBusy = true;
    try {
      const thread = (this.#thread ??= this.#start());
      // Starting takes its time on a busy machine; that is not the file's fault.
      if (!(await thread.started))
        throw new ConsiliumError("internal", { detail: "(a reading thread did not start)" });
      const result = await this.#give(thread, task);
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

  #give(thread: RunningThread<Result>, task: Task): Promise<Result | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        thread.settle(null);
      }, this.#options.timeoutMs);
      thread.prolong = () => {
        timer.refresh();
      };
      thread.settle = (result) => {
        thread.prolong = () => undefined;
        clearTimeout(timer);
        resolve(result);
      };
      // It may have died since its last task.
      if (this.#thread === thread) thread.worker.postMessage(task);
      else thread.settle(null);
    });
  }

  #start(): RunningThread<Result> {
    const worker = startThread(this.#options.script, this.#options.data);
    let onStart: (isUp: boolean) => void = () => undefined;
    const started = new Promise<boolean>((resolve) => (onStart = resolve));
    const thread: RunningThread<Result> = {
      worker,
      started,
      prolong: () => undefined,
      settle: () => undefined,
    };
    const lost = (): void => {
      onStart(false);
      if (this.#thread === thread) this.#thread = null;
      thread.settle(null);
    };
    worker.on("message", (reply: WorkerReply<Result>) => {
      if (reply === "ready") onStart(true);
      else if (reply === "alive") thread.prolong();
      else thread.settle(reply);
    });
    worker.on("error", lost);
    worker.on("exit", lost);
    return thread;
  }
}
