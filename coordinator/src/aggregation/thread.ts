/** The aggregator in a worker thread of its own, started when there is something for it, and again after a crash. */
import type { Worker } from "node:worker_threads";
import type { Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { startThread } from "@consilium/shared/threads";
import type { BlobsLocation } from "../blobs/location.ts";
import type { Aggregator, Task, TaskResult } from "./tasks.ts";

export interface AggregationThreadData {
  readonly blobs: BlobsLocation;
  readonly signingSeed: Uint8Array;
  readonly sealingSecret: Uint8Array;
}

export interface TaskRequest {
  readonly id: number;
  readonly task: Task;
}

export type TaskResponse =
  | { readonly id: number; readonly ok: true; readonly result: TaskResult }
  | {
      readonly id: number;
      readonly ok: false;
      readonly code: ErrorCode;
      readonly detail: string | undefined;
      readonly culprits: readonly string[];
    };

interface Pending {
  readonly resolve: (result: TaskResult) => void;
  readonly reject: (error: unknown) => void;
}

export function startAggregationThread(blobs: BlobsLocation, identity: Identity): Aggregator {
  const data: AggregationThreadData = {
    blobs,
    signingSeed: identity.signingSeed,
    sealingSecret: identity.sealingSecret,
  };
  const pending = new Map<number, Pending>();
  let lastId = 0;
  let worker: Worker | null = null;

  function failAll(error: unknown): void {
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  }

  function start(): Worker {
    const started = startThread(new URL("./worker.ts", import.meta.url), data);
    started.on("message", (response: TaskResponse) => {
      const waiting = pending.get(response.id);
      pending.delete(response.id);
      if (response.ok) waiting?.resolve(response.result);
      else waiting?.reject(failure(response));
    });
    started.on("error", failAll);
    started.on("exit", () => {
      if (worker === started) worker = null;
      failAll(new ConsiliumError("internal", { detail: "(the aggregation thread ended)" }));
    });
    return started;
  }

  function request(task: Task): Promise<TaskResult> {
    worker ??= start();
    const id = ++lastId;
    const answer = new Promise<TaskResult>((resolve, reject) => pending.set(id, { resolve, reject }));
    worker.postMessage({ id, task } satisfies TaskRequest);
    return answer;
  }

  return {
    async fold(job) {
      const blob = await request({ task: "fold", job });
      if (blob === null || !("sha256" in blob)) throw new Error("a fold answers with a blob");
      return blob;
    },
    async lookAhead(job, upload, arrivedBytes) {
      await request({ task: "look-ahead", job, upload, arrivedBytes });
    },
    async checkUpdate(job, upload, sha256) {
      await request({ task: "check-update", job, upload, sha256 });
    },
    async openGenesis(job) {
      await request({ task: "open-genesis", job });
    },
    async foldMasked(job) {
      const folded = await request({ task: "fold-masked", job });
      if (folded === null || !("totals" in folded)) throw new Error("a masked fold answers with totals");
      return folded;
    },
    async sumMasked(job) {
      const totals = await request({ task: "sum-masked", job });
      if (totals === null || !("extras" in totals)) throw new Error("a sum answers with totals");
      return totals;
    },
    async checkMasked(job) {
      await request({ task: "check-masked", job });
    },
    async magnitudes(base) {
      const found = await request({ task: "magnitudes", base });
      if (found === null || !("magnitudes" in found)) throw new Error("magnitudes are the answer");
      return found.magnitudes;
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function failure({ code, detail, culprits }: Extract<TaskResponse, { ok: false }>): ConsiliumError {
  return new ConsiliumError(code, { culprits, ...(detail === undefined ? {} : { detail }) });
}
