/** The thread that reads files. Decoders may trap or hang here; the pool then ends the thread and starts another. */
import { parentPort, workerData } from "node:worker_threads";
import { hasKey } from "./known-keys.ts";
import { readImage } from "./read-image.ts";
import type { ReadReply, ReadTask, ReadWorkerData } from "./read-pool.ts";

const port = parentPort;
if (port === null) throw new Error("read-worker.ts runs as a worker thread");

// Libraries print what they choke on, which may be a header's value.
const silent = (): void => undefined;
Object.assign(console, {
  log: silent,
  info: silent,
  warn: silent,
  error: silent,
  debug: silent,
  trace: silent,
});

const { secret, sizePx, known } = workerData as ReadWorkerData;
const options = { secret, sizePx, isCached: (key: string) => hasKey(known, key) };

const reply = (answer: ReadReply, moved: readonly ArrayBuffer[] = []): void => {
  port.postMessage(answer, moved);
};

port.on("message", (task: ReadTask) => {
  void readImage(task.file, options).then((result) => {
    if (result.outcome === "read") reply(result, [result.pixels.buffer as ArrayBuffer]);
    else reply(result);
  });
});
reply("ready");
