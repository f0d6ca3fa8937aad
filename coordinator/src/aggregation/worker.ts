/** Entry of the aggregation thread: tasks in, results or typed errors out. */
import { parentPort, workerData } from "node:worker_threads";
import { identityFromSecrets } from "@consilium/shared/crypto/identity";
import { toConsiliumError } from "@consilium/shared/errors";
import { attachBlobs } from "../blobs/location.ts";
import { ArrivedSum } from "./arrived-sum.ts";
import { runTask } from "./tasks.ts";
import type { AggregationThreadData, TaskRequest, TaskResponse } from "./thread.ts";

const { blobs, signingSeed, sealingSecret } = workerData as AggregationThreadData;
const ports = {
  blobs: await attachBlobs(blobs),
  reader: identityFromSecrets(signingSeed, sealingSecret),
  arrived: new ArrivedSum(),
};

parentPort?.on("message", ({ id, task }: TaskRequest) => {
  void runTask(task, ports).then(
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
