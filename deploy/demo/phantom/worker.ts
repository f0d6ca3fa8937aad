/** Thread entry: makes one hospital and reports each image. */
import { parentPort, workerData } from "node:worker_threads";
import { makeHospital, type PhantomOptions } from "./hospital.ts";
import { HOSPITALS } from "./vendors.ts";

const { folder, name, options } = workerData as { folder: string; name: string; options: PhantomOptions };
const hospital = HOSPITALS.find((each) => each.name === name);
if (hospital === undefined) throw new Error(`there is no phantom hospital called ${name}`);
await makeHospital(folder, hospital, options, () => parentPort?.postMessage("image"));
