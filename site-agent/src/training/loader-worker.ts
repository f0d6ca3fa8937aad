/** The loading thread: reads, crops and masks batches, as many ahead as it was allowed. */
import { parentPort } from "node:worker_threads";
import { packError } from "@consilium/shared/packed-error";
import { inOrder } from "../dataset/in-order.ts";
import { openTrainingImages } from "../dataset/training-images.ts";
import { pretextTask } from "../pretext/index.ts";
import type { FromLoader, LoaderRequest, ToLoader } from "./loader-protocol.ts";
import { batchesOf } from "./round-batches.ts";
import type { Batch } from "./types.ts";

const port = parentPort;
if (port === null) throw new Error("this file runs in a worker thread");

interface Round {
  readonly number: number;
  readonly batches: Generator<Batch, void>;
  readonly close: () => void;
}

let current: Round | null = null;

async function open(number: number, request: LoaderRequest): Promise<Round> {
  const cache = await openTrainingImages(request.cacheDir, request.plan);
  const images = request.images === undefined ? cache : inOrder(cache, request.images);
  const batches = batchesOf(request, pretextTask(request.plan), images);
  return {
    number,
    batches,
    close: () => {
      cache.close();
    },
  };
}

function end(): void {
  current?.close();
  current = null;
}

function sendNext(): void {
  if (current === null) return;
  const { number: round, batches } = current;
  const next = batches.next();
  if (next.done === true) {
    end();
    send({ round, batch: null });
  } else {
    send({ round, batch: next.value });
  }
}

function send(message: FromLoader): void {
  const arrays = "batch" in message ? Object.values(message.batch ?? {}) : [];
  port?.postMessage(message, [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))]);
}

async function follow(message: ToLoader): Promise<void> {
  if (message.call === "close") {
    end();
    port?.close();
    return;
  }
  if (message.call === "end") {
    if (current?.number === message.round) end();
    return;
  }
  try {
    if (message.call === "start") {
      end();
      current = await open(message.round, message.request);
      for (let i = 0; i < message.ahead; i++) sendNext();
    } else if (current?.number === message.round) sendNext();
  } catch (error) {
    end();
    send({ round: message.round, error: packError(error) });
  }
}

let queue = Promise.resolve();
port.on("message", (message: ToLoader) => {
  queue = queue.then(() => follow(message));
});
