/** TF.js on WASM as it ships: its own gradient rules, no threads under Node. */
import { createReferenceEngine } from "../../site-agent/src/engine/engine.ts";
import { startCompiled } from "./compiled.ts";
import type { Contestant } from "./contestant.ts";
import type { Workload } from "./workload.ts";

/** From here on TF.js' gradient rules replace this project's in the whole process: nothing can be compiled any more. */
export async function startWasm(work: Workload): Promise<Contestant> {
  await import("@tensorflow/tfjs-backend-wasm");
  const { require: requireTypeScript } = await import("tsx/cjs/api");
  requireTypeScript("@tensorflow/tfjs-core/dist/register_all_gradients.js", import.meta.url);
  return { ...(await startCompiled(createReferenceEngine("wasm"), work)), name: "TF.js on WASM" };
}
