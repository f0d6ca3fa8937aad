/** Entry of a thread that helps to add up masks, and ends when none is left. */
import { workerData } from "node:worker_threads";
import { addUpMasks, type MaskWork } from "./mask-work.ts";

addUpMasks(workerData as MaskWork);
