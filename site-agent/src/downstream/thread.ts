/** Fine-tuning in a thread of its own, since a step blocks the thread it runs on. */
import { ConsiliumError } from "@consilium/shared/errors";
import { unpackError } from "@consilium/shared/packed-error";
import { startThread } from "@consilium/shared/threads";
import { STOP, type FromFinetuneThread } from "./thread-protocol.ts";
import type { FinetuneOutcome, FinetuneProgress, FinetuneRequest } from "./types.ts";

const SCRIPT = new URL("./worker.ts", import.meta.url);

/**
 * @param signal stops at a step's border; the promise then rejects with the signal's reason
 * @throws labels.unmatched, labels.too-few, config.invalid, manifest.mismatch, training.diverged, training.no-images,
 * cache.corrupt, engine.*
 */
export async function finetuneInThread(
  request: FinetuneRequest,
  onProgress: (progress: FinetuneProgress) => void,
  signal: AbortSignal,
): Promise<FinetuneOutcome> {
  signal.throwIfAborted();
  const worker = startThread(SCRIPT, request);
  const stop = (): void => {
    worker.postMessage(STOP);
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<FinetuneOutcome>((resolve, reject) => {
      worker.on("message", (message: FromFinetuneThread) => {
        if ("progress" in message) onProgress(message.progress);
        else if ("outcome" in message) resolve(message.outcome);
        else if ("error" in message) reject(unpackError(message.error));
        else reject(signal.reason as Error);
      });
      const died = (cause: unknown): void => {
        reject(
          new ConsiliumError("engine.run-failed", { detail: "(the fine-tuning thread stopped)", cause }),
        );
      };
      worker.on("error", died);
      worker.on("exit", died);
    });
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
