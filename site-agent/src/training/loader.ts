/** Batches made ahead of the step by a thread of their own, so that training never waits for a disk or a crop. */
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { unpackError } from "@consilium/shared/packed-error";
import { startThread } from "@consilium/shared/threads";
import type { FromLoader, LoaderRequest, ToLoader } from "./loader-protocol.ts";
import type { Batch } from "./types.ts";

const SCRIPT = new URL("./loader-worker.ts", import.meta.url);

/** Batches that may lie ready: one more than a step that takes its turn while the next is made. */
const AHEAD = 3;

export interface Loader {
  /**
   * The batches of one round, made from now on. A call ends the round before, as does leaving the iteration.
   * @throws training.no-images, cache.missing, cache.corrupt, engine.run-failed if the thread died
   */
  load(request: LoaderRequest): AsyncGenerator<Batch, void>;
  close(): Promise<void>;
}

/** The thread starts with the first round and stays for the next ones. */
export function createLoader(): Loader {
  let thread: LoaderThread | null = null;
  return {
    load: (request) => {
      if (thread?.alive !== true) thread = new LoaderThread();
      return thread.load(request);
    },
    close: async () => {
      await thread?.stop();
      thread = null;
    },
  };
}

class LoaderThread {
  readonly #worker: Worker;
  #round = 0;
  readonly #arrived: FromLoader[] = [];
  #wake: () => void = () => undefined;
  #failure: unknown = null;
  alive = true;

  constructor() {
    this.#worker = startThread(SCRIPT, null);
    this.#worker.on("message", (message: FromLoader) => {
      this.#arrived.push(message);
      this.#wake();
    });
    this.#worker.on("error", (cause) => {
      this.#fail(cause);
    });
    this.#worker.on("exit", () => {
      this.#fail(undefined);
    });
  }

  load(request: LoaderRequest): AsyncGenerator<Batch, void> {
    const round = ++this.#round;
    this.#send({ call: "start", round, request, ahead: AHEAD });
    return this.#batches(round);
  }

  async *#batches(round: number): AsyncGenerator<Batch, void> {
    try {
      for (;;) {
        const message = await this.#next(round);
        if ("error" in message) throw unpackError(message.error);
        if (message.batch === null) return;
        this.#send({ call: "more", round });
        yield message.batch;
      }
    } finally {
      if (this.alive) this.#send({ call: "end", round });
    }
  }

  /** What arrived for an earlier round, which was left before its end, is dropped. */
  async #next(round: number): Promise<FromLoader> {
    for (;;) {
      const message = this.#arrived.shift();
      if (message?.round === round) return message;
      if (message !== undefined) continue;
      if (!this.alive) {
        const detail = "(the loading thread stopped)";
        throw new ConsiliumError("engine.run-failed", { detail, cause: this.#failure });
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    const exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#send({ call: "close" });
    await exited;
  }

  #send(message: ToLoader): void {
    this.#worker.postMessage(message);
  }

  #fail(cause: unknown): void {
    this.#failure ??= cause;
    this.alive = false;
    this.#wake();
  }
}
