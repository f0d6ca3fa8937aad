/** A replica of a small network, which ends by itself when it is told to. */
import { parentPort, workerData } from "node:worker_threads";
import { serveReplica } from "../replica.ts";
import type { ReplicaStart } from "../replica-protocol.ts";
import { smallNetwork, type SmallRecipe } from "./small-network.ts";

const { recipe, index } = workerData as ReplicaStart;
const { ending } = recipe as SmallRecipe;
let runs = 0;

// Before the replica's own listener: the thread ends while the others wait for its gradient.
parentPort?.on("message", ({ call }: { call: string }) => {
  if (call !== "run" || index !== ending?.replica) return;
  if (++runs === ending.run) throw new Error("this replica ends");
});

serveReplica((given) => smallNetwork((given as SmallRecipe).examples));
