/** One model's training step, ours on each device and PyTorch's. */
import { matrixFlops } from "../../site-agent/src/engine/graph/flops.ts";
import { traceTrainStep } from "../../site-agent/src/engine/onnx-runtime.ts";
import { atLeast, atMost, type Figure, type Options, type Target } from "./bench.ts";
import { Products, engineOn, reason, startCompiled, type Device, type ProductTurn } from "./compiled.ts";
import { LARGEST_LOSS_DIFFERENCE, disagreement, warmUp, type Contestant } from "./contestant.ts";
import { median, spreadPercent } from "./statistics.ts";
import { TorchPeer } from "./torch.ts";
import { timeInTurns, type Turns } from "./turns.ts";
import { workload, type ModelName, type Workload } from "./workload.ts";

/** Share of the machine's GEMM rate, in model FLOPs, and times PyTorch's images/s: what the targets ask for. */
const LEAST_SHARE_PERCENT = 70;
const LEAST_TIMES_TORCH = 1.2;
/** Nano is for watching only. */
const WITH_TARGETS: readonly ModelName[] = ["tiny", "small"];

/** Quick steps get more turns. */
export const TURNS: Readonly<Record<ModelName, number>> = { nano: 15, tiny: 11, small: 9 };
/** PyTorch's own matrix product, for comparison with the engine's. */
const TORCH_SIDES = [1024, 2048];

export interface Report {
  readonly results: Figure[];
  readonly targets: Target[];
  readonly notes: string[];
  readonly log: (line: string) => void;
}

interface Ours extends Contestant {
  readonly products: Products;
}

/** What is measured between the turns. */
interface Rates {
  readonly products: readonly ProductTurn[];
  /** Milliseconds by side. */
  readonly torch: readonly number[];
}

export async function measureModel(
  model: ModelName,
  devices: readonly Device[],
  python: string | null,
  { threads, repeats }: Options,
  report: Report,
): Promise<void> {
  const { results, targets, notes, log } = report;
  const work = workload(model);
  const { title } = work;
  const ours = await startOurs(work, devices, threads, report);
  if (python !== null) log(`${title}: starting PyTorch`);
  const torch =
    python === null
      ? null
      : await TorchPeer.start(work, { python, threads, device: "cpu", dtype: "fp32", optimizer: "auto" });
  if (torch !== null) notes.push(`PyTorch ${torch.hello.torch}, eager, ${torch.hello.optimizer} AdamW`);
  const all: readonly Contestant[] = torch === null ? ours : [...ours, torch];

  try {
    log(`${title}: first steps of ${all.map(({ name }) => name).join(", ")}`);
    const losses = await warmUp(all);
    for (const [i, { name }] of all.entries()) {
      const label = `${title}: loss of the first step, ${name}`;
      results.push({ label, value: losses[i]?.[0] ?? NaN, unit: "" });
    }
    const agreed = atMost(`${title}: losses differ, relative`, disagreement(losses), LARGEST_LOSS_DIFFERENCE);
    if (all.length > 1) targets.push(agreed);
    if (!agreed.ok) {
      notes.push(`${title}: the losses of the first steps differ, so nothing was timed`);
      return;
    }

    log(`${title}: timing in turns`);
    const turns = await timeInTurns(all, repeats ?? TURNS[model], () => measureRates(ours, torch));
    notes.push(disturbance(title, turns));
    const judge = (target: Target): void => {
      if (WITH_TARGETS.includes(model)) targets.push({ ...target, ok: target.ok && turns.undisturbed });
    };
    const flops = matrixFlops(traceTrainStep(work.definition));
    results.push({ label: `${title}: products of a step, model FLOPs`, value: flops / 1e9, unit: "GFLOP" });
    for (const [i, { name }] of all.entries()) {
      results.push(...stepFigures(`${title}: ${name}`, turns.times[i] ?? [], work, flops));
    }
    for (const [i, one] of ours.entries()) {
      const rates = one.products.rates(turns.between.map(({ products }) => products[i] ?? []));
      const { figures, share } = shareFigures(`${title}: ${one.name}`, turns.times[i] ?? [], rates, flops);
      results.push(...figures);
      judge(atLeast(`${title}: ${one.name}, share of the GEMM rate`, share, LEAST_SHARE_PERCENT, " %"));
    }
    if (torch === null) return;
    results.push({
      label: `${title}: PyTorch, plain product, best`,
      value: torchRate(turns.between),
      unit: "GFLOP/s",
    });
    const theirs = turns.times.at(-1) ?? [];
    for (const [i, { name }] of ours.entries()) {
      const own = turns.times[i] ?? [];
      const ratio = median(theirs) / median(own);
      const label = `${title}: ${name}, times PyTorch's images/s`;
      results.push(
        { label: `${label}, medians`, value: ratio, unit: "x" },
        { label: `${label}, bests`, value: Math.min(...theirs) / Math.min(...own), unit: "x" },
      );
      judge(atLeast(label, ratio, LEAST_TIMES_TORCH));
    }
  } finally {
    for (const one of all) await one.dispose();
  }
}

async function startOurs(
  work: Workload,
  devices: readonly Device[],
  threads: number,
  { notes, log }: Report,
): Promise<readonly Ours[]> {
  const ours: Ours[] = [];
  for (const device of devices) {
    const engine = await engineOn(device, threads);
    if (typeof engine === "string") {
      notes.push(engine);
      continue;
    }
    log(`${work.title}: compiling for ${device}`);
    try {
      const step = await startCompiled(engine, work);
      const products = await Products.start(engine);
      const dispose = async (): Promise<void> => {
        await step.dispose();
        await products.dispose();
      };
      ours.push({ ...step, products, dispose });
    } catch (error) {
      notes.push(`${device} was left out: ${reason(error)}`);
    }
  }
  return ours;
}

async function measureRates(ours: readonly Ours[], torch: TorchPeer | null): Promise<Rates> {
  const products: ProductTurn[] = [];
  for (const one of ours) products.push(await one.products.turn());
  const times: number[] = [];
  if (torch !== null) for (const side of TORCH_SIDES) times.push(...(await torch.product(side, 1)));
  return { products, torch: times };
}

function disturbance(title: string, { times: [first = []], tried, undisturbed }: Turns<Rates>): string {
  return undisturbed
    ? `${title}: ${first.length} undisturbed turns of ${tried}`
    : `${title}: other programs disturbed too many of the ${tried} turns; the figures say little and meet no target`;
}

function stepFigures(
  label: string,
  times: readonly number[],
  { batchSize }: Workload,
  flops: number,
): readonly Figure[] {
  return [
    { label: `${label}, a step, median`, value: median(times), unit: "ms" },
    { label: `${label}, a step, best`, value: Math.min(...times), unit: "ms" },
    { label: `${label}, a step, quartiles apart`, value: spreadPercent(times), unit: "%" },
    { label, value: (batchSize * 1000) / median(times), unit: "images/s" },
    { label: `${label}, model FLOPs`, value: flops / (median(times) * 1e6), unit: "GFLOP/s" },
  ];
}

/** @returns `share`: of the median product's rate that the median step reaches, in per cent */
function shareFigures(
  label: string,
  times: readonly number[],
  rates: ReturnType<Products["rates"]>,
  flops: number,
): { readonly figures: readonly Figure[]; readonly share: number } {
  const share = (100 * flops) / (median(times) * 1e6) / rates.median;
  const bestShare = (100 * flops) / (Math.min(...times) * 1e6) / rates.best;
  const figures = [
    { label: `${label}, plain product, median`, value: rates.median, unit: "GFLOP/s" },
    { label: `${label}, plain product, best`, value: rates.best, unit: "GFLOP/s" },
    { label: `${label}, share of the product's rate, medians`, value: share, unit: "%" },
    { label: `${label}, share of the product's rate, bests`, value: bestShare, unit: "%" },
  ];
  return { figures, share };
}

/** GFLOP/s of PyTorch's fastest plain product. */
function torchRate(turns: readonly Rates[]): number {
  const rates = turns.flatMap(({ torch }) =>
    torch.map((ms, i) => (2 * (TORCH_SIDES[i] ?? NaN) ** 3) / (ms * 1e6)),
  );
  return Math.max(...rates);
}
