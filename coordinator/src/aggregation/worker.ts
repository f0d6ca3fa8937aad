/** Entry of the aggregation thread: tasks in, results or typed errors out. */
import { parentPort, workerData } from "node:worker_threads";
import { identityFromSecrets } from "@consilium/shared/crypto/identity";
import { toConsiliumError } from "@consilium/shared/errors";
import pLimit from "p-limit";
import { attachBlobs } from "../blobs/open.ts";
import { ArrivedSum } from "./arrived-sum.ts";
import { ArrivingUpdates } from "./arriving-updates.ts";
import { runTask, type Task } from "./tasks.ts";
import type { AggregationThreadData, TaskRequest, TaskResponse } from "./thread.ts";

const { blobs, signingSeed, sealingSecret } = workerData as AggregationThreadData;
const attached = await attachBlobs(blobs);
const reader = identityFromSecrets(signingSeed, sealingSecret);
const ports = {
  blobs: attached,
  reader,
  arrived: new ArrivedSum(),
  arriving: new ArrivingUpdates(attached, reader),
};

/**
 * Objects that are looked through at once: one is read while the other is computed on. If all of a round were, each would hold
 * buffers of its own, and every site would be answered as late as the last.
 */
const looks = pLimit(2);
const LOOKS: readonly Task["task"][] = ["look-ahead", "check-update", "check-masked", "open-genesis"];

parentPort?.on("message", ({ id, task }: TaskRequest) => {
  const run = () => runTask(task, ports);
  void (LOOKS.includes(task.task) ? looks(run) : run()).then(
    (result) => {
      answer({ id, ok: true, result });
    },
    (error: unknown) => {
      const { code, detail, culprits } = toConsiliumError(error);
      answer({ id, ok: false, code, detail, culprits });
    },
  );
});

function answer(response: TaskResponse): void {
  parentPort?.postMessage(response);
}
