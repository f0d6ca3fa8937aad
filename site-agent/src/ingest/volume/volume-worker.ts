/** The thread that puts volumes together. Decoders may trap or hang here; the pool then starts another. */
import { workerData } from "node:worker_threads";
import { hasKey } from "../known-keys.ts";
import { quietThread } from "../quiet-thread.ts";
import type { WorkerReply } from "../worker-pool.ts";
import { lookAtFile, readStack, type LookResult, type VolumeOptions } from "./read-volume.ts";
import type { VolumeTask, VolumeWorkerData } from "./volume-pool.ts";

const port = quietThread();
const { known, ...data } = workerData as VolumeWorkerData;

const reply = (answer: WorkerReply<LookResult>, moved: readonly ArrayBuffer[] = []): void => {
  port.postMessage(answer, moved);
};

const options: VolumeOptions = {
  ...data,
  isCached: (key) => hasKey(known, key),
  onAlive: () => {
    reply("alive");
  },
};

async function answer(task: VolumeTask): Promise<void> {
  const result =
    "file" in task ? lookAtFile(task.file, options) : await readStack(task.stack, task.again, options);
  if (result.outcome === "read") reply(result, [result.pixels.buffer as ArrayBuffer]);
  else reply(result);
}

port.on("message", (task: VolumeTask) => void answer(task));
reply("ready");
