/** The threads that add up the masks of one sum. */
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { startThread } from "@consilium/shared/threads";
import { addUpMasks, applyMasks, maskWork, type MaskWork } from "./mask-work.ts";

/** Below so many bytes of masks a thread takes longer to start than to help. */
const WORTH_A_THREAD_BYTES = 512 * 1024 * 1024;

export class MaskThreads {
  readonly #work: MaskWork;
  readonly #threads: readonly Worker[];
  readonly #ends: readonly Promise<void>[];

  /** Begins at once, beside whatever the calling thread goes on to do. @param cores of this machine */
  constructor(layout: VectorLayout, terms: readonly MaskTerm[], cores = availableParallelism()) {
    this.#work = maskWork(layout, terms);
    const bytes = this.#work.masks.byteLength * terms.length;
    const helpers = Math.min(cores - 1, Math.floor(bytes / WORTH_A_THREAD_BYTES));
    this.#threads = Array.from({ length: helpers }, () =>
      startThread(new URL("./mask-worker.ts", import.meta.url), this.#work),
    );
    this.#ends = this.#threads.map(ended);
    for (const end of this.#ends) end.catch(() => undefined);
  }

  /** Helps until no masks are left, and adds them all to the sum. */
  async addTo(sum: Uint8Array): Promise<void> {
    addUpMasks(this.#work);
    await Promise.all(this.#ends);
    applyMasks(this.#work, sum);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

function ended(thread: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    thread.on("error", reject);
    thread.on("exit", (code) => {
      if (code === 0) resolve();
      else reject(new ConsiliumError("internal", { detail: "(a masking thread ended)" }));
    });
  });
}
