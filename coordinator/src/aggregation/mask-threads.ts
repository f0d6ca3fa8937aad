/** The threads that add masks to one sum. */
import { availableParallelism } from "node:os";
import type { Worker } from "node:worker_threads";
import { ConsiliumError } from "@consilium/shared/errors";
import type { VectorLayout } from "@consilium/shared/secagg/layout";
import type { MaskTerm } from "@consilium/shared/secagg/masks";
import { startThread } from "@consilium/shared/threads";
import { addUpMasks, maskWork } from "./mask-work.ts";

/** Below so many bytes of masks a thread takes longer to start than to help. */
const WORTH_A_THREAD_BYTES = 1024 * 1024 * 1024;

/**
 * sum <- sum + masks, where it lies.
 * @param cores of this machine
 * @throws secagg.spent
 */
export async function addMasksInThreads(
  layout: VectorLayout,
  terms: readonly MaskTerm[],
  sum: SharedArrayBuffer,
  cores = availableParallelism(),
): Promise<void> {
  const work = maskWork(layout, terms, sum);
  const helpers = Math.min(cores - 1, Math.floor((sum.byteLength * terms.length) / WORTH_A_THREAD_BYTES));
  const threads = Array.from({ length: helpers }, () =>
    startThread(new URL("./mask-worker.ts", import.meta.url), work),
  );
  const ends = Promise.all(threads.map(ended));
  ends.catch(() => undefined);
  try {
    addUpMasks(work);
    await ends;
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
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
