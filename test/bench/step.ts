/**
 * One MAE training step: ours on each device, PyTorch eager and TF.js on WASM, on the same weights and batch, in turns.
 * Matrix products of the same machine, measured between the turns, say how much of it the step uses.
 */
import { atLeast, atMost, choose, type Benchmark, type Options } from "./bench.ts";
import { DEVICES, engineOn, startCompiled } from "./compiled.ts";
import { LARGEST_LOSS_DIFFERENCE, disagreement, warmUp } from "./contestant.ts";
import { runFresh } from "./fresh.ts";
import { measureModel, TURNS, type Report } from "./step-model.ts";
import { median } from "./statistics.ts";
import { HOW_TO_ADD_TORCH, findTorch } from "./torch.ts";
import { timeInTurns } from "./turns.ts";
import { startWasm } from "./wasm.ts";
import { MODEL_NAMES, workload } from "./workload.ts";

const LEAST_TIMES_WASM = 25;
const MOST_COMPILE_SECONDS = 3;
const COMPILATIONS = 3;
/** TF.js on WASM takes some seconds a step with a batch of 16. */
const WASM_BATCH = 16;
const WASM_TURNS = 2;

export const step: Benchmark = {
  name: "step",
  summary: "one MAE training step: ours on each device, PyTorch eager, TF.js on WASM; share of the GEMM rate",
  help: `--model ${[...MODEL_NAMES, "wasm"].join(",")}   which steps (default all; wasm: TF.js on WASM, ViT-Ti/8, batch ${WASM_BATCH})
  --devices ${DEVICES.join(",")}        where ours runs (default: each that is there)
  --threads 2                      threads of everyone
  --repeats N                      timed turns of each step (default ${Object.values(TURNS).join(", ")})
PyTorch runs where CONSILIUM_PYTHON, else python3, can import torch.
Model FLOPs are those of the matrix products in the step's graph without recomputation: forward, both gradients
of each product, and the crops. Turns in which other programs took more than 5 % of the machine are not counted but
repeated for a while; where fewer than five are left, targets count as missed. All default runs take some three minutes
on two quiet cores.`,
  run: async (options, log) => {
    const report: Report = { results: [], targets: [], notes: [], log };
    const models = choose("model", options.models, [...MODEL_NAMES, "wasm"], [...MODEL_NAMES, "wasm"]);
    const devices = choose("devices", options.devices, DEVICES, DEVICES);
    const python = await findTorch();
    if (python === null) report.notes.push(HOW_TO_ADD_TORCH);
    for (const model of models) {
      if (model === "wasm") continue;
      await measureModel(model, devices, python, options, report);
      if (model === "small" && devices.includes("cpu")) await measureCompilation(options, report);
    }
    // Last, for it spoils the process.
    if (models.includes("wasm")) await measureWasm(options, report);
    return { results: report.results, targets: report.targets, notes: [...new Set(report.notes)] };
  },
};

/** In fresh processes, as at a site's start: a second compilation in one process is quicker. */
async function measureCompilation({ threads }: Options, { results, targets, log }: Report): Promise<void> {
  const seconds: number[] = [];
  for (let i = 0; i < COMPILATIONS; i++) {
    log(`trace and compile ViT-S/16 at 224 px, ${i + 1} of ${COMPILATIONS}`);
    const { compileMs } = await runFresh({ model: "small", batch: null, device: "cpu", threads, steps: 0 });
    seconds.push(compileMs / 1000);
  }
  const name = "ViT-S/16 at 224 px: trace and compile, fresh process";
  results.push({ label: name, value: median(seconds), unit: "s" });
  targets.push(atMost(name, median(seconds), MOST_COMPILE_SECONDS, " s"));
}

async function measureWasm({ threads }: Options, { results, targets, log }: Report): Promise<void> {
  const work = workload("tiny", WASM_BATCH);
  const engine = await engineOn("cpu", threads);
  if (typeof engine === "string") throw new Error(engine);
  const compiled = await startCompiled(engine, work);
  const wasm = await startWasm(work);
  try {
    log(`${work.title}: TF.js on WASM, some seconds a step`);
    const difference = disagreement(await warmUp([compiled, wasm]));
    const agreed = atMost(
      `${work.title}: losses differ from TF.js', relative`,
      difference,
      LARGEST_LOSS_DIFFERENCE,
    );
    targets.push(agreed);
    if (!agreed.ok) return;
    const { times, undisturbed } = await timeInTurns([compiled, wasm], WASM_TURNS, () => Promise.resolve());
    const [own = [], theirs = []] = times;
    const ratio = median(theirs) / median(own);
    const imagesPerSecond = (ms: readonly number[]): number => (1000 * WASM_BATCH) / median(ms);
    results.push(
      { label: `${work.title}: ${compiled.name}, a step`, value: median(own), unit: "ms" },
      { label: `${work.title}: TF.js on WASM, a step`, value: median(theirs), unit: "ms" },
      { label: `${work.title}: ${compiled.name}`, value: imagesPerSecond(own), unit: "images/s" },
      { label: `${work.title}: TF.js on WASM`, value: imagesPerSecond(theirs), unit: "images/s" },
    );
    const target = atLeast(`${work.title}: times as fast as TF.js on WASM`, ratio, LEAST_TIMES_WASM);
    targets.push({ ...target, ok: target.ok && undisturbed });
  } finally {
    await compiled.dispose();
    await wasm.dispose();
  }
}
