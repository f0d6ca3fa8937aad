/** Where a step's time goes: by operator of ONNX Runtime, by its largest nodes, and by part of the model beside PyTorch. */
import { setTimeout } from "node:timers/promises";
import { choose, type Benchmark, type Figure } from "./bench.ts";
import { engineOn, startCompiled } from "./compiled.ts";
import { PLACES, Places } from "./places.ts";
import { profileSessions, type NodeTime } from "./session-profile.ts";
import { HOW_TO_ADD_TORCH, TorchPeer, findTorch, type TorchOperator } from "./torch.ts";
import { PAUSE_MS } from "./turns.ts";
import { MODEL_NAMES, workload, type Workload } from "./workload.ts";

const STEPS = 6;
/** Sorts of nodes, and PyTorch's operators, that are listed one by one. */
const LISTED = 20;

export const profile: Benchmark = {
  name: "profile",
  summary: "time of a training step by operator, and by part of the model beside PyTorch's",
  help: `--model ${MODEL_NAMES.join(",")}   which step (default small)
  --threads 2               threads of both
  --repeats ${STEPS}               steps; each sort of operator counts at its fastest
  --batch N                 images in a batch
On the CPU, with ONNX Runtime's and PyTorch's own profilers, which cost a little themselves.`,
  run: async ({ models, threads, repeats, batch }, log) => {
    const python = await findTorch();
    const results: Figure[] = [];
    for (const model of choose("model", models, MODEL_NAMES, ["small"])) {
      const work = workload(model, batch ?? undefined);
      const places = new Places(work);
      log(work.title);
      const { step, ours, theirs } = await profileInTurns(work, python, threads, repeats ?? STEPS);
      const label = (text: string): string => `${work.title}: ${text}`;
      const list = (who: string, sums: readonly Sum[]): Figure[] =>
        sums.map(({ key, ms, calls }) => ({
          label: label(`${who}, ${key} (${calls})`),
          value: ms,
          unit: "ms",
        }));
      results.push(
        { label: label("ours, a step"), value: step.ms, unit: "ms" },
        {
          label: label("ours, that step outside of nodes"),
          value: step.ms - totalMs(step.nodes),
          unit: "ms",
        },
        { label: label("ours, all nodes"), value: totalMs(ours), unit: "ms" },
        ...list(
          "ours",
          sumBy(ours, ({ op }) => op),
        ),
        ...list("ours", sumBy(ours, nodeSort).slice(0, LISTED)),
      );
      const byPlace = [{ name: "ours", sums: sumBy(ours, (node) => places.ofNode(node)) }];
      if (theirs.length > 0) {
        results.push(
          { label: label("PyTorch, all operators"), value: totalMs(theirs), unit: "ms" },
          ...list("PyTorch", sumBy(theirs, ({ name }) => name).slice(0, LISTED)),
        );
        byPlace.push({ name: "PyTorch", sums: sumBy(theirs, (operator) => places.ofOperator(operator)) });
      }
      for (const place of PLACES) {
        for (const { name, sums } of byPlace) {
          const ms = sums.find(({ key }) => key === place)?.ms ?? 0;
          results.push({ label: label(`${place}, ${name}`), value: ms, unit: "ms" });
        }
      }
    }
    return { results, targets: [], notes: python === null ? [HOW_TO_ADD_TORCH] : [] };
  },
};

interface Timed {
  readonly ms: number;
  readonly calls: number;
}

interface Sum extends Timed {
  readonly key: string;
}

/** @returns our fastest step as it was, and of both each sort of node or operator at its fastest */
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
        await setTimeout(PAUSE_MS);
        if (torch !== null) profiles.push(await torch.profile());
        await setTimeout(PAUSE_MS);
      }
    });
    const [step] = runs.toSorted((a, b) => a.ms - b.ms);
    if (step === undefined) throw new Error("the profile holds no run");
    return {
      step,
      ours: fastest(
        runs.map(({ nodes }) => nodes),
        nodeSort,
      ),
      theirs: fastest(profiles, ({ name, shapes }) => `${name} ${JSON.stringify(shapes)}`),
    };
  } finally {
    await torch?.dispose();
  }
}

/** Each sort, all of its calls in a step together, in the step where it was fastest: a busy machine disturbs few sorts at once. */
function fastest<Item extends Timed>(
  steps: readonly (readonly Item[])[],
  sortOf: (item: Item) => string,
): readonly Item[] {
  const best = new Map<string, Item>();
  for (const items of steps) {
    const examples = new Map(items.map((item) => [sortOf(item), item]));
    for (const { key, ms, calls } of sumBy(items, sortOf)) {
      const example = examples.get(key);
      if (example !== undefined && ms < (best.get(key)?.ms ?? Infinity))
        best.set(key, { ...example, ms, calls });
    }
  }
  return [...best.values()];
}

/** Largest first. */
function sumBy<Item extends Timed>(items: readonly Item[], keyOf: (item: Item) => string): readonly Sum[] {
  const sums = new Map<string, Timed>();
  for (const item of items) {
    const { ms, calls } = sums.get(keyOf(item)) ?? { ms: 0, calls: 0 };
    sums.set(keyOf(item), { ms: ms + item.ms, calls: calls + item.calls });
  }
  return [...sums].map(([key, sum]) => ({ key, ...sum })).toSorted((a, b) => b.ms - a.ms);
}

const totalMs = (times: readonly Timed[]): number => times.reduce((total, { ms }) => total + ms, 0);

/** For example `Gemm [800, 384] [384, 1536] -> [800, 1536]`. */
function nodeSort({ op, inputs, outputs }: NodeTime): string {
  const write = (shape: readonly number[]): string => `[${shape.join(", ")}]`;
  return `${op} ${inputs.map(write).join(" ")} -> ${outputs.map(write).join(" ")}`;
}
