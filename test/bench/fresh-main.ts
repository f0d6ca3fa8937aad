/**
 * One workload in a process of its own: `fresh-main.ts MODEL BATCH DEVICE THREADS STEPS` prints one line of JSON, see
 * fresh.ts. What the runtime takes before there is any model is measured after all modules are loaded.
 */
import { memoryBytes } from "./memory-bytes.ts";
import { LEARNING_RATE, MODEL_NAMES, workload } from "./workload.ts";
import { DEVICES, engineOn } from "./compiled.ts";
import { timed } from "./contestant.ts";
import { choose } from "./bench.ts";

const [modelName = "", batch = "", deviceName = "", threads = "", steps = ""] = process.argv.slice(2);
const [model = "nano"] = choose("model", [modelName], MODEL_NAMES, []);
const [device = "cpu"] = choose("devices", [deviceName], DEVICES, []);

const engine = await engineOn(device, Number(threads));
if (typeof engine === "string") throw new Error(engine);
const idleRssBytes = memoryBytes("VmRSS");
const { definition, weights, batch: inputs } = workload(model, batch === "-" ? undefined : Number(batch));
const { result: step, ms: compileMs } = await timed(() => engine.compileTrainStep(definition));
await step.writeWeights(weights);
const losses: number[] = [];
for (let i = 0; i < Number(steps); i++) losses.push((await step.run(inputs, LEARNING_RATE)).loss);
const peakRssBytes = memoryBytes("VmHWM");
await step.dispose();
console.log(JSON.stringify({ compileMs, idleRssBytes, peakRssBytes, losses }));
