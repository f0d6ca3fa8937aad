/** One replica, as the group sees it: calls and their answers, in order. */
import type { Transferable, Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import { unpackError } from "@consilium/shared/packed-error";
import { startThread } from "@consilium/shared/threads";
import { Withdrawn } from "./barrier.ts";
import type { CallName, Calls, FromReplica, ReplicaStart, ToReplica } from "./replica-protocol.ts";

interface PendingCall {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

export class ReplicaThread {
  readonly #worker: Worker;
  readonly #pending: PendingCall[] = [];
  readonly #onLost: () => void;
  readonly #name: string;
  #cause: unknown;
  alive = true;
  #closing = false;
  /** Settles when the step is compiled. */
  readonly ready: Promise<unknown>;

  /** @param onLost called once if the thread ends unasked */
  constructor(script: URL, start: ReplicaStart, onLost: () => void) {
    this.#onLost = onLost;
    this.#name = `${start.index + 1} of ${start.memory.members}`;
    this.ready = this.#answer();
    this.#worker = startThread(script, start);
    this.#worker.on("message", (message: FromReplica) => {
      this.#receive(message);
    });
    this.#worker.on("error", (cause) => {
      this.#cause = cause;
    });
    this.#worker.on("exit", () => {
      this.#end();
    });
  }

  /** @throws engine.*, training.diverged, engine.replica-lost; `Withdrawn` if another replica failed */
  async call<Name extends CallName>(
    call: Name,
    argument: Calls[Name]["argument"],
    transfer: readonly Transferable[] = [],
  ): Promise<Calls[Name]["result"]> {
    if (!this.alive) throw this.#lost();
    const answer = this.#answer<Calls[Name]["result"]>();
    this.#worker.postMessage({ call, argument }, transfer);
    return answer;
  }

  /** At the border of a step: a thread that is torn out of native code takes the whole process with it. */
  async close(): Promise<void> {
    if (!this.alive) return;
    this.#closing = true;
    const exited = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#worker.postMessage({ call: "close" } satisfies ToReplica);
    await exited;
  }

  #answer<Result>(): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
  }

  #receive(message: FromReplica): void {
    const call = this.#pending.shift();
    if (call === undefined) return;
    if ("result" in message) call.resolve(message.result as never);
    else call.reject("error" in message ? unpackError(message.error) : new Withdrawn());
  }

  #end(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const { reject } of this.#pending.splice(0)) reject(this.#lost());
    if (!this.#closing) this.#onLost();
  }

  #lost(): ConsiliumError {
    return new ConsiliumError("engine.replica-lost", { detail: `(${this.#name})`, cause: this.#cause });
  }
}
