/** The trainer behind the agent's port: a worker thread, since a step blocks the thread it runs on. */
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { unpackError } from "@consilium/shared/packed-error";
import { startThread } from "@consilium/shared/threads";
import type { CallName, Calls, FromWorker, ToWorker } from "./thread-protocol.ts";
import type { Pause } from "./pause.ts";
import type { LocalRoundProgress, Trainer } from "./types.ts";

const SCRIPT = new URL("./worker.ts", import.meta.url);

/** The thread starts with the first call. If it dies, what it was doing fails and the next call starts another. */
export function createTrainer(): Trainer {
  let thread: TrainingThread | null = null;
  const current = (): TrainingThread => {
    if (thread?.alive !== true) thread = new TrainingThread();
    return thread;
  };
  return {
    genesis: (plan, start) => current().call("genesis", { plan, start }),
    countImages: (plan, cacheDir) => current().call("countImages", { plan, cacheDir }),
    train: (request, onProgress, signal, pause) =>
      current().call("train", request, onProgress, signal, pause),
    close: async () => {
      await thread?.stop();
      thread = null;
    },
  };
}

interface PendingCall {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onProgress: (progress: LocalRoundProgress) => void;
  readonly abortReason: () => unknown;
}

class TrainingThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall>();
  #nextId = 1;
  alive = true;

  constructor() {
    this.#worker = startThread(SCRIPT, null);
    this.#worker.on("message", (message: FromWorker) => {
      this.#receive(message);
    });
    this.#worker.on("error", (cause) => {
      this.#fail(cause);
    });
    this.#worker.on("exit", () => {
      this.#fail(undefined);
    });
  }

  /** The argument is cloned, as callers keep their weights; the result is transferred. */
  async call<Name extends CallName>(
    call: Name,
    argument: Calls[Name]["argument"],
    onProgress: (progress: LocalRoundProgress) => void = () => undefined,
    signal?: AbortSignal,
    pause?: Pause,
  ): Promise<Calls[Name]["result"]> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const cancel = (): void => {
      this.#send({ call: "cancel", id });
    };
    const rest = (paused: boolean): void => {
      this.#send({ call: paused ? "pause" : "resume", id });
    };
    signal?.addEventListener("abort", cancel, { once: true });
    const endPauses = pause?.subscribe(rest);
    try {
      return await new Promise<Calls[Name]["result"]>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject, onProgress, abortReason: (): unknown => signal?.reason });
        this.#send({ call, id, argument } as ToWorker);
        if (pause?.paused === true) rest(true);
      });
    } finally {
      signal?.removeEventListener("abort", cancel);
      endPauses?.();
      this.#pending.delete(id);
    }
  }

  /** At the next step's border: a thread that is torn out of native code takes the whole process with it. */
  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    const ended = !this.alive;
    this.#fail(undefined);
    if (ended) return;
    this.#send({ call: "close" });
    await exited;
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    const call = this.#pending.get(message.id);
    if (call === undefined) return;
    if ("progress" in message) call.onProgress(message.progress);
    else if ("result" in message) call.resolve(message.result as never);
    else if ("error" in message) call.reject(unpackError(message.error));
    else call.reject(call.abortReason());
  }

  #fail(cause: unknown): void {
    this.alive = false;
    for (const { reject } of this.#pending.values()) {
      reject(new ConsiliumError("engine.run-failed", { detail: "(the training thread stopped)", cause }));
    }
    this.#pending.clear();
  }
}
