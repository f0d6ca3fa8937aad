/** Where a step's time goes: by operator of ONNX Runtime, by its largest nodes, and by part of the model beside PyTorch. */
import { choose, type Benchmark, type Figure } from "./bench.ts";
import { engineOn, startCompiled } from "./compiled.ts";
import { PLACES, Places, type Place } from "./places.ts";
import { profileSessions, type NodeTime } from "./session-profile.ts";
import { HOW_TO_ADD_TORCH, TorchPeer, findTorch, type TorchOperator } from "./torch.ts";
import { MODEL_NAMES, workload, type Workload } from "./workload.ts";

const STEPS = 6;
/** Sorts of nodes, and PyTorch's operators, that are listed one by one. */
const LISTED = 20;

export const profile: Benchmark = {
  name: "profile",
  summary: "time of a training step by operator, and by part of the model beside PyTorch's",
  help: `--model ${MODEL_NAMES.join(",")}   which step (default small)
  --threads 2               threads of both
  --repeats ${STEPS}               steps, of which the fastest counts
  --batch N                 images in a batch
On the CPU, with ONNX Runtime's and PyTorch's own profilers, which cost a little themselves.`,
  run: async ({ models, threads, repeats, batch }, log) => {
    const python = await findTorch();
    const results: Figure[] = [];
    for (const model of choose("model", models, MODEL_NAMES, ["small"])) {
      const work = workload(model, batch ?? undefined);
      const places = new Places(work);
      log(work.title);
      const { ours, theirs } = await profileInTurns(work, python, threads, repeats ?? STEPS);
      const label = (text: string): string => `${work.title}: ${text}`;
      results.push(
        { label: label("ours, a step"), value: ours.ms, unit: "ms" },
        { label: label("ours, outside of nodes"), value: ours.ms - sum(ours.nodes), unit: "ms" },
        ...grouped(ours.nodes, ({ op }) => op).map(({ key, ms, count }) => ({
          label: label(`ours, ${key} (${count})`),
          value: ms,
          unit: "ms",
        })),
        ...grouped(ours.nodes, shapesOf)
          .slice(0, LISTED)
          .map(({ key, ms, count }) => ({ label: label(`ours, ${key} (${count})`), value: ms, unit: "ms" })),
      );
      const byPlace = [{ name: "ours", times: timesByPlace(ours.nodes, (node) => places.ofNode(node)) }];
      if (theirs !== null) {
        results.push({ label: label("PyTorch, a step"), value: sum(theirs), unit: "ms" });
        for (const { key, ms } of grouped(theirs, ({ name }) => name).slice(0, LISTED)) {
          results.push({ label: label(`PyTorch, ${key}`), value: ms, unit: "ms" });
        }
        byPlace.push({ name: "PyTorch", times: timesByPlace(theirs, (one) => places.ofOperator(one)) });
      }
      for (const place of PLACES) {
        for (const { name, times } of byPlace) {
          results.push({ label: label(`${place}, ${name}`), value: times.get(place) ?? 0, unit: "ms" });
        }
      }
    }
    return { results, targets: [], notes: python === null ? [HOW_TO_ADD_TORCH] : [] };
  },
};

/** Of both the fastest of some steps. */
async function profileInTurns(work: Workload, python: string | null, threads: number, steps: number) {
  const torch =
    python === null
      ? null
      : await TorchPeer.start(work, { python, threads, device: "cpu", dtype: "fp32", optimizer: "auto" });
  try {
    const profiles: (readonly TorchOperator[])[] = [];
    const { runs } = await profileSessions(async () => {
      const engine = await engineOn("cpu", threads);
      if (typeof engine === "string") throw new Error(engine);
      const step = await startCompiled(engine, work);
      for (let i = 0; i < steps; i++) {
        await step.step();
        if (torch !== null) profiles.push(await torch.profile());
      }
    });
    const [ours] = runs.toSorted((a, b) => a.ms - b.ms);
    const [theirs] = profiles.toSorted((a, b) => sum(a) - sum(b));
    if (ours === undefined) throw new Error("the profile holds no run");
    return { ours, theirs: theirs ?? null };
  } finally {
    await torch?.dispose();
  }
}

const sum = (times: readonly { readonly ms: number }[]): number =>
  times.reduce((total, { ms }) => total + ms, 0);

/** Sums by key, largest first. */
function grouped<Item extends { readonly ms: number }>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
) {
  const sums = new Map<string, { ms: number; count: number }>();
  for (const item of items) {
    const { ms, count } = sums.get(keyOf(item)) ?? { ms: 0, count: 0 };
    sums.set(keyOf(item), { ms: ms + item.ms, count: count + 1 });
  }
  return [...sums].map(([key, value]) => ({ key, ...value })).toSorted((a, b) => b.ms - a.ms);
}

const timesByPlace = <Item extends { readonly ms: number }>(
  items: readonly Item[],
  placeOf: (item: Item) => Place,
): ReadonlyMap<string, number> => new Map(grouped(items, placeOf).map(({ key, ms }) => [key, ms]));

/** For example `Gemm [800, 384] [384, 1536] -> [800, 1536]`. */
function shapesOf({ op, inputs, outputs }: NodeTime): string {
  const write = (shape: readonly number[]): string => `[${shape.join(", ")}]`;
  return `${op} ${inputs.map(write).join(" ")} -> ${outputs.map(write).join(" ")}`;
}
