/** One of several threads that train the same weights, each on its part of every batch, with an engine of its own. */
import { parentPort, workerData, type Transferable } from "node:worker_threads";
import { packError } from "@consilium/shared/packed-error";
import { createEngine } from "../engine.ts";
import type { InputArrays, InputSpecs, TrainStep, TrainStepDefinition } from "../types.ts";
import { Withdrawn } from "./barrier.ts";
import { digestOf } from "./digest.ts";
import { SharedExchange } from "./exchange.ts";
import type { Calls, FromReplica, ReplicaStart, ToReplica } from "./replica-protocol.ts";

/**
 * The whole work of a replica's script.
 * @param define makes the definition, with inputs of one part of the batch, from the recipe that the group was given:
 *   functions cannot be sent to a thread
 */
export function serveReplica<I extends InputSpecs>(
  define: (recipe: unknown) => TrainStepDefinition<I>,
): void {
  const port = parentPort;
  if (port === null) throw new Error("a replica runs in a worker thread");
  const send = (message: FromReplica, transfer: readonly Transferable[] = []): void => {
    port.postMessage(message, transfer);
  };
  let step: TrainStep<I> | null = null;

  const answer = async (work: () => Promise<Calls[keyof Calls]["result"]>): Promise<void> => {
    try {
      const result = await work();
      send({ result }, result instanceof Float32Array ? [result.buffer as ArrayBuffer] : []);
    } catch (error) {
      send(error instanceof Withdrawn ? { withdrawn: true } : { error: packError(error) });
    }
  };

  let queue = answer(async () => {
    step = await compileReplica(workerData as ReplicaStart, define);
    return null;
  });

  port.on("message", (message: ToReplica) => {
    if (message.call === "close") {
      // Nothing keeps the thread alive after this.
      queue = queue.then(async () => {
        await step?.dispose();
        port.close();
      });
      return;
    }
    queue = queue.then(() =>
      answer(() => {
        if (step === null) throw new RangeError("a replica without a step");
        return perform(step, message);
      }),
    );
  });
}

async function compileReplica<I extends InputSpecs>(
  { recipe, index, engine, options, memory }: ReplicaStart,
  define: (recipe: unknown) => TrainStepDefinition<I>,
): Promise<TrainStep<I>> {
  const exchange = new SharedExchange(memory, index);
  return (await createEngine(engine)).compileTrainStep(define(recipe), { ...options, exchange });
}

async function perform<I extends InputSpecs>(
  step: TrainStep<I>,
  message: Exclude<ToReplica, { call: "close" }>,
): Promise<Calls[keyof Calls]["result"]> {
  switch (message.call) {
    case "run":
      return step.run(message.argument.inputs as InputArrays<I>, message.argument.learningRate);
    case "readWeights":
      return step.readWeights();
    case "digestWeights":
      return digestOf(await step.readWeights());
    case "writeWeights":
      await step.writeWeights(message.argument.values, message.argument.anchor);
      return null;
    case "readOptimizerState":
      return step.readOptimizerState();
    case "writeOptimizerState":
      await step.writeOptimizerState(message.argument);
      return null;
  }
}
