/** Makes all the hospitals, a few at a time, each in a thread of its own. */
import { join } from "node:path";
import { startThread } from "@consilium/shared/threads";
import { imagesOf, type PhantomOptions } from "./hospital.ts";
import { HOSPITALS } from "./vendors.ts";

/**
 * Writes `folder`/NAME for each hospital and for `test`. The same options give the same bytes.
 *
 * @param threads hospitals made at once
 * @param onProgress images written so far, of all hospitals together
 * @param signal stops the threads
 */
export async function makePhantoms(
  folder: string,
  options: PhantomOptions,
  threads: number,
  onProgress: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const total = HOSPITALS.reduce((sum, hospital) => sum + imagesOf(hospital, options.images), 0);
  let done = 0;
  const queue = HOSPITALS.map(({ name }) => name);
  const serve = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      await makeOne(join(folder, name), name, options, signal, () => {
        done++;
        onProgress(done, total);
      });
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, threads) }, serve));
}

function makeOne(
  folder: string,
  name: string,
  options: PhantomOptions,
  signal: AbortSignal,
  onImage: () => void,
): Promise<void> {
  signal.throwIfAborted();
  const worker = startThread(new URL("./worker.ts", import.meta.url), { folder, name, options });
  const stop = (): void => void worker.terminate();
  signal.addEventListener("abort", stop, { once: true });
  return new Promise<void>((resolve, reject) => {
    worker.on("message", onImage);
    worker.on("error", reject);
    worker.on("exit", () => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve();
    });
  });
}
