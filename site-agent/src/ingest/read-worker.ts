/** The thread that reads files. Decoders may trap or hang here; the pool then ends the thread and starts another. */
import { workerData } from "node:worker_threads";
import { hasKey } from "./known-keys.ts";
import { quietThread } from "./quiet-thread.ts";
import { readImage, type ReadResult } from "./read-image.ts";
import type { ReadTask, ReadWorkerData } from "./read-pool.ts";
import type { WorkerReply } from "./worker-pool.ts";

const port = quietThread();
const { secret, sizePx, profile, known } = workerData as ReadWorkerData;
const options = { secret, sizePx, profile, isCached: (key: string) => hasKey(known, key) };

const reply = (answer: WorkerReply<ReadResult>, moved: readonly ArrayBuffer[] = []): void => {
  port.postMessage(answer, moved);
};

port.on("message", (task: ReadTask) => {
  void readImage(task.file, options).then((result) => {
    if (result.outcome === "read") reply(result, [result.pixels.buffer as ArrayBuffer]);
    else reply(result);
  });
});
reply("ready");
