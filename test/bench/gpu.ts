/**
 * One MAE training step of ViT-S/16 on a GPU: ours on WebGPU and CUDA, PyTorch eager in float32, TF32 and bfloat16 on the
 * same card. One after the other, for not every card holds all of them at once.
 */
import { matrixFlops } from "../../site-agent/src/engine/graph/flops.ts";
import { traceTrainStep } from "../../site-agent/src/engine/onnx-runtime.ts";
import { atLeast, atMost, choose, type Benchmark, type Figure, type Options, type Target } from "./bench.ts";
import {
  DEVICES,
  Products,
  engineOn,
  reason,
  startCompiled,
  type Device,
  type ProductTurn,
} from "./compiled.ts";
import { LARGEST_LOSS_DIFFERENCE, WARM_UP_STEPS, warmUp, type Contestant } from "./contestant.ts";
import { largestDifference, median, spreadPercent } from "./statistics.ts";
import { HOW_TO_ADD_TORCH, TorchPeer, findTorch, type TorchOptions } from "./torch.ts";
import { timeInTurns } from "./turns.ts";
import { MODEL_NAMES, workload, type Workload } from "./workload.ts";

const BATCH = 256;
const STEPS = 15;
const LEAST_TIMES_TORCH_FP32 = 1;
const DTYPES = ["fp32", "tf32", "bf16"] as const;
/** Where products are rounded to TF32 or bfloat16; ONNX Runtime's CUDA provider does so by default. */
const ROUNDED = /tf32|bf16|cuda/;
const LARGEST_ROUNDED_LOSS_DIFFERENCE = 1e-2;
/** PyTorch's own plain product on the card, for comparison with the engine's. */
const TORCH_SIDE = 4096;
const TORCH_PRODUCTS = 10;
const MIB = 2 ** 20;

/** One contestant's part of the comparison. */
interface Run {
  readonly name: string;
  readonly ours: boolean;
  readonly losses: readonly number[];
  readonly times: readonly number[];
  readonly undisturbed: boolean;
}

export const gpu: Benchmark = {
  name: "gpu",
  summary: `one MAE training step of ViT-S/16 at 224 px, batch ${BATCH}, on a GPU: ours, and PyTorch in three precisions`,
  help: `--devices ${DEVICES.slice(1).join(",")}     where ours runs (default both; cpu rehearses the whole comparison without a GPU)
  --model ${MODEL_NAMES.join(",")}   which step (default small)
  --batch ${BATCH}               images in a batch
  --repeats ${STEPS}              timed steps
PyTorch runs where CONSILIUM_PYTHON, else python3, can import torch and sees a GPU.`,
  run: async (options, log) => {
    const devices = choose("devices", options.devices, DEVICES, ["webgpu", "cuda"]);
    const results: Figure[] = [];
    const targets: Target[] = [];
    const notes: string[] = [];
    for (const model of choose("model", options.models, MODEL_NAMES, ["small"])) {
      const work = workload(model, options.batch ?? BATCH);
      const runs = [
        ...(await runOurs(work, devices, options, { results, notes, log })),
        ...(await runTorch(work, devices, options, { results, notes, log })),
      ];
      summarise(work, runs, { results, targets, notes });
    }
    return { results, targets, notes: [...new Set(notes)] };
  },
};

interface Sink {
  readonly results: Figure[];
  readonly notes: string[];
  readonly log: (line: string) => void;
}

async function runOurs(
  work: Workload,
  devices: readonly Device[],
  { threads, repeats }: Options,
  { results, notes, log }: Sink,
): Promise<readonly Run[]> {
  const runs: Run[] = [];
  for (const device of devices) {
    log(`${work.title}: ${device}`);
    const engine = await engineOn(device, threads);
    if (typeof engine === "string") {
      notes.push(engine);
      continue;
    }
    try {
      runs.push(await runOne(await startCompiled(engine, work), true, repeats ?? STEPS));
      const products = await Products.start(engine);
      const turns: ProductTurn[] = [];
      for (let i = 0; i < WARM_UP_STEPS; i++) turns.push(await products.turn());
      results.push({
        label: `${work.title}: ${engine.name}, plain product`,
        value: products.rates(turns).median,
        unit: "GFLOP/s",
      });
      await products.dispose();
    } catch (error) {
      notes.push(`${device} was left out: ${reason(error)}`);
    }
  }
  return runs;
}

async function runTorch(
  work: Workload,
  devices: readonly Device[],
  { threads, repeats }: Options,
  { results, notes, log }: Sink,
): Promise<readonly Run[]> {
  const python = await findTorch();
  if (python === null) {
    notes.push(HOW_TO_ADD_TORCH);
    return [];
  }
  const device: TorchOptions["device"] = devices.includes("cpu") ? "cpu" : "cuda";
  if (device === "cuda" && !(await TorchPeer.seesGpu(python))) {
    notes.push("PyTorch was left out: it sees no GPU (torch.cuda.is_available() is False)");
    return [];
  }
  const runs: Run[] = [];
  for (const dtype of device === "cpu" ? (["fp32"] as const) : DTYPES) {
    log(`${work.title}: PyTorch ${dtype}`);
    const torch = await TorchPeer.start(work, { python, threads, device, dtype, optimizer: "auto" });
    notes.push(
      `PyTorch ${torch.hello.torch}, eager, ${torch.hello.optimizer} AdamW, on ${torch.hello.device}`,
    );
    if (device === "cuda") {
      const rate = (2 * TORCH_SIDE ** 3) / (median(await torch.product(TORCH_SIDE, TORCH_PRODUCTS)) * 1e6);
      results.push({ label: `${work.title}: ${torch.name}, plain product`, value: rate, unit: "GFLOP/s" });
    }
    runs.push(await runOne(torch, false, repeats ?? STEPS));
    const memory = { label: `${work.title}: ${torch.name}, peak on the device`, unit: "MiB" };
    if (device === "cuda") results.push({ ...memory, value: torch.peakDeviceBytes / MIB });
  }
  return runs;
}

/** Warms up, times and disposes of a contestant. */
async function runOne(contestant: Contestant, ours: boolean, steps: number): Promise<Run> {
  try {
    const [losses = []] = await warmUp([contestant]);
    const { times, undisturbed } = await timeInTurns([contestant], steps, () => Promise.resolve());
    return { name: contestant.name, ours, losses, times: times[0] ?? [], undisturbed };
  } finally {
    await contestant.dispose();
  }
}

/** Losses are compared before any time is told: with PyTorch's in float32, else with the first one's. */
function summarise(
  work: Workload,
  runs: readonly Run[],
  { results, targets, notes }: { results: Figure[]; targets: Target[]; notes: string[] },
): void {
  const torch = runs.find(({ ours, name }) => !ours && !/tf32|bf16/.test(name));
  const reference = torch ?? runs[0];
  if (reference === undefined) return;
  const { title, batchSize, definition } = work;
  const flops = matrixFlops(traceTrainStep(definition));
  for (const run of runs) {
    const label = `${title}: ${run.name}`;
    results.push({ label: `${label}, loss of the first step`, value: run.losses[0] ?? NaN, unit: "" });
    if (run !== reference) {
      const difference = largestDifference(run.losses, reference.losses);
      const most = ROUNDED.test(run.name) ? LARGEST_ROUNDED_LOSS_DIFFERENCE : LARGEST_LOSS_DIFFERENCE;
      const agreed = atMost(`${label}, losses differ, relative`, difference, most);
      targets.push(agreed);
      if (!agreed.ok) {
        notes.push(`${label}: its losses differ, so its times are not told`);
        continue;
      }
    }
    const ms = median(run.times);
    results.push(
      { label, value: (batchSize * 1000) / ms, unit: "images/s" },
      { label: `${label}, a step, median`, value: ms, unit: "ms" },
      { label: `${label}, a step, quartiles apart`, value: spreadPercent(run.times), unit: "%" },
      { label: `${label}, model FLOPs`, value: flops / (ms * 1e6), unit: "GFLOP/s" },
    );
    // A rehearsal on the CPU judges nothing.
    if (run.ours && torch?.name === "PyTorch fp32") {
      const ratio = median(torch.times) / ms;
      const target = atLeast(`${label}, times PyTorch fp32's images/s`, ratio, LEAST_TIMES_TORCH_FP32);
      targets.push({ ...target, ok: target.ok && run.undisturbed && torch.undisturbed });
    }
  }
}
