/**
 * One MAE training step: ours on each device, PyTorch eager and TF.js on WASM, on the same weights and batch, in turns.
 * Matrix products of the same machine, measured between the turns, say how much of it the step uses.
 */
import os from "node:os";
import { matrixFlops } from "../../site-agent/src/engine/graph/flops.ts";
import { traceTrainStep } from "../../site-agent/src/engine/onnx-runtime.ts";
import { atLeast, atMost, choose, type Benchmark, type Figure, type Options, type Target } from "./bench.ts";
import { DEVICES, Products, engineOn, reason, startCompiled, type Device } from "./compiled.ts";
import { LARGEST_LOSS_DIFFERENCE, disagreement, timeInTurns, warmUp, type Contestant } from "./contestant.ts";
import { runFresh } from "./fresh.ts";
import { median, spreadPercent } from "./statistics.ts";
import { HOW_TO_ADD_TORCH, TorchPeer, findTorch } from "./torch.ts";
import { startWasm } from "./wasm.ts";
import { MODEL_NAMES, workload, type ModelName, type Workload } from "./workload.ts";

/** Share of the machine's GEMM rate, in model FLOPs, and times PyTorch's images/s: what the targets ask for. */
const LEAST_SHARE_PERCENT = 70;
const LEAST_TIMES_TORCH = 1.2;
const LEAST_TIMES_WASM = 25;
const MOST_COMPILE_SECONDS = 3;
/** Nano is for watching only. */
const WITH_TARGETS: readonly ModelName[] = ["tiny", "small"];

/** Quick steps get more turns: a median of five milliseconds-long runs says little. */
const TURNS: Readonly<Record<ModelName, number>> = { nano: 15, tiny: 9, small: 7 };
const COMPILATIONS = 3;
/** TF.js on WASM takes some seconds a step with a batch of 16. */
const WASM_BATCH = 16;
const WASM_TURNS = 2;
/** Sizes and runs of PyTorch's own matrix product, for comparison with the engine's. */
const TORCH_SIDES = [1024, 2048];
const TORCH_PRODUCTS = 5;

/** Runnable threads, over one minute, before anything was measured. */
const BUSY_LOAD = 0.5;
const BUSY =
  "the machine is busy: PyTorch's threads wait for each other spinning and lose more than ours, so its ratios flatter us";

interface Report {
  readonly results: Figure[];
  readonly targets: Target[];
  readonly notes: string[];
  readonly log: (line: string) => void;
}

export const step: Benchmark = {
  name: "step",
  summary: "one MAE training step: ours on each device, PyTorch eager, TF.js on WASM; share of the GEMM rate",
  help: `--model ${[...MODEL_NAMES, "wasm"].join(",")}   which steps (default all; wasm: TF.js on WASM, ViT-Ti/8, batch ${WASM_BATCH})
  --devices ${DEVICES.join(",")}        where ours runs (default: each that is there)
  --threads 2                      threads of everyone
  --repeats N                      timed turns of each step (default ${Object.values(TURNS).join(", ")})
PyTorch runs where CONSILIUM_PYTHON, else python3, can import torch.
Model FLOPs are those of the matrix products in the step's graph without recomputation: forward, both gradients
of each product, and the crops. All default runs take some five minutes on two quiet cores.`,
  run: async (options, log) => {
    const report: Report = { results: [], targets: [], notes: [], log };
    const models = choose("model", options.models, [...MODEL_NAMES, "wasm"], [...MODEL_NAMES, "wasm"]);
    const devices = choose("devices", options.devices, DEVICES, DEVICES);
    const python = await findTorch();
    if (python === null) report.notes.push(HOW_TO_ADD_TORCH);
    else if ((os.loadavg()[0] ?? 0) > BUSY_LOAD) report.notes.push(BUSY);
    for (const model of models) {
      if (model === "wasm") continue;
      await measureModel(model, devices, python, options, report);
      if (model === "small" && devices.includes("cpu")) await measureCompilation(options, report);
    }
    // Last, for it spoils the process.
    if (models.includes("wasm")) await measureWasm(options, report);
    return { ...report, notes: [...new Set(report.notes)] };
  },
};

async function measureModel(
  model: ModelName,
  devices: readonly Device[],
  python: string | null,
  { threads, repeats }: Options,
  { results, targets, notes, log }: Report,
): Promise<void> {
  const work = workload(model);
  const { title } = work;
  const flops = matrixFlops(traceTrainStep(work.definition));
  const products: Products[] = [];
  const ours: Contestant[] = [];
  for (const device of devices) {
    log(`${title}: compiling for ${device}`);
    const engine = await engineOn(device, threads);
    if (typeof engine === "string") {
      notes.push(engine);
      continue;
    }
    try {
      ours.push(await startCompiled(engine, work));
      products.push(await Products.start(engine));
    } catch (error) {
      notes.push(`${device} was left out: ${reason(error)}`);
    }
  }
  if (python !== null) log(`${title}: starting PyTorch`);
  const torch =
    python === null
      ? null
      : await TorchPeer.start(work, { python, threads, device: "cpu", dtype: "fp32", optimizer: "auto" });
  const all: Contestant[] = torch === null ? ours : [...ours, torch];

  try {
    log(`${title}: first steps of ${all.map(({ name }) => name).join(", ")}`);
    const losses = await warmUp(all);
    for (const [i, { name }] of all.entries()) {
      results.push({
        label: `${title}: loss of the first step, ${name}`,
        value: losses[i]?.[0] ?? NaN,
        unit: "",
      });
    }
    const agreed = atMost(`${title}: losses differ, relative`, disagreement(losses), LARGEST_LOSS_DIFFERENCE);
    if (all.length > 1) targets.push(agreed);
    if (!agreed.ok) {
      notes.push(`${title}: the losses of the first steps differ, so nothing was timed`);
      return;
    }

    const turns = repeats ?? TURNS[model];
    log(`${title}: ${turns} turns`);
    const torchProducts = new Map(TORCH_SIDES.map((side) => [side, [] as number[]]));
    const times = await timeInTurns(all, turns, async () => {
      for (const product of products) await product.turn();
    });
    if (torch !== null) {
      for (const [side, runs] of torchProducts) runs.push(...(await torch.product(side, TORCH_PRODUCTS)));
    }

    results.push({ label: `${title}: products of a step, model FLOPs`, value: flops / 1e9, unit: "GFLOP" });
    for (const [i, { name }] of all.entries()) {
      results.push(...stepFigures(`${title}: ${name}`, times[i] ?? [], work, flops));
    }
    for (const [i, { name }] of ours.entries()) {
      const product = products[i];
      if (product === undefined) continue;
      const own = times[i] ?? [];
      const share = (100 * flops) / (median(own) * 1e6) / product.medianRate();
      const bestShare = (100 * flops) / (Math.min(...own) * 1e6) / product.bestRate();
      results.push(
        { label: `${title}: ${name}, plain product, median`, value: product.medianRate(), unit: "GFLOP/s" },
        { label: `${title}: ${name}, plain product, best`, value: product.bestRate(), unit: "GFLOP/s" },
        { label: `${title}: ${name}, share of the product's rate, medians`, value: share, unit: "%" },
        { label: `${title}: ${name}, share of the product's rate, bests`, value: bestShare, unit: "%" },
      );
      if (WITH_TARGETS.includes(model)) {
        targets.push(atLeast(`${title}: ${name}, share of the GEMM rate`, share, LEAST_SHARE_PERCENT, " %"));
      }
    }
    if (torch === null) return;
    const rates = [...torchProducts].map(([side, runs]) => (2 * side ** 3) / (Math.min(...runs) * 1e6));
    results.push({
      label: `${title}: PyTorch, plain product, best`,
      value: Math.max(...rates),
      unit: "GFLOP/s",
    });
    notes.push(`PyTorch ${torch.hello.torch}, eager, ${torch.hello.optimizer} AdamW`);
    for (const [i, { name }] of ours.entries()) {
      const own = times[i] ?? [];
      const theirs = times.at(-1) ?? [];
      const ratio = median(theirs) / median(own);
      const label = `${title}: ${name}, times PyTorch's images/s`;
      results.push(
        { label: `${label}, medians`, value: ratio, unit: "x" },
        { label: `${label}, bests`, value: Math.min(...theirs) / Math.min(...own), unit: "x" },
      );
      if (WITH_TARGETS.includes(model)) {
        targets.push(atLeast(`${title}: ${name}, times PyTorch's images/s`, ratio, LEAST_TIMES_TORCH));
      }
    }
  } finally {
    for (const one of [...all, ...products]) await one.dispose();
  }
}

function stepFigures(
  label: string,
  times: readonly number[],
  { batchSize }: Workload,
  flops: number,
): Figure[] {
  return [
    { label: `${label}, a step, median`, value: median(times), unit: "ms" },
    { label: `${label}, a step, best`, value: Math.min(...times), unit: "ms" },
    { label: `${label}, a step, quartiles apart`, value: spreadPercent(times), unit: "%" },
    { label: label, value: (batchSize * 1000) / median(times), unit: "images/s" },
    { label: `${label}, model FLOPs`, value: flops / (median(times) * 1e6), unit: "GFLOP/s" },
  ];
}

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
    const [own = [], theirs = []] = await timeInTurns([compiled, wasm], WASM_TURNS);
    const ratio = median(theirs) / median(own);
    results.push(
      { label: `${work.title}: ${compiled.name}, a step`, value: median(own), unit: "ms" },
      { label: `${work.title}: TF.js on WASM, a step`, value: median(theirs), unit: "ms" },
    );
    targets.push(atLeast(`${work.title}: times as fast as TF.js on WASM`, ratio, LEAST_TIMES_WASM));
  } finally {
    await compiled.dispose();
    await wasm.dispose();
  }
}
