/** Nodes of training steps before and after the passes, and what each pass bought. */
import { classifierTrainStep } from "../../site-agent/src/downstream/classifier.ts";
import type { Graph } from "../../site-agent/src/engine/graph/ir.ts";
import { explain } from "../../site-agent/src/engine/graph/passes/explain.ts";
import { optimize } from "../../site-agent/src/engine/graph/passes/optimize.ts";
import { peakBytes } from "../../site-agent/src/engine/graph/peak-bytes.ts";
import { traceWithoutPasses } from "../../site-agent/src/engine/onnx-runtime.ts";
import { adamWOptions } from "../../site-agent/src/training/pretext-step.ts";
import { vitConfig } from "../../site-agent/src/model/sizes.ts";
import type { Benchmark, Figure } from "./bench.ts";
import { workload } from "./workload.ts";

const MIB = 2 ** 20;
const CLASSES = 2;
const LAYER_DECAY = 0.75;

export const graph: Benchmark = {
  name: "graph",
  summary: "nodes of a step's graph before and after the passes, what each pass bought, memory it asks for",
  help: "Without any pass, with all, and with all but one. Nothing is run, so a busy machine does no harm.",
  run: (_, log) => {
    const results: Figure[] = [];
    for (const [title, traced] of steps()) {
      log(title);
      results.push(...figures(title, traced()));
    }
    return Promise.resolve({ results, targets: [], notes: [] });
  },
};

function steps(): readonly [string, () => Graph][] {
  const [nano, small] = [workload("nano"), workload("small")];
  const { plan, batchSize } = nano;
  const classifier = classifierTrainStep(
    {
      config: vitConfig(plan.model),
      classes: CLASSES,
      cached: { sizePx: plan.cachePx, depthPx: 1 },
      batchSize,
    },
    LAYER_DECAY,
    adamWOptions(plan),
  );
  return [
    [`${nano.title}, MAE`, () => traceWithoutPasses(nano.definition)],
    [`${small.title}, MAE`, () => traceWithoutPasses(small.definition)],
    [
      `${small.title}, MAE with recomputation`,
      () => traceWithoutPasses(small.definition, { recompute: true }),
    ],
    [`${nano.title}, classifier`, () => traceWithoutPasses(classifier)],
  ];
}

function figures(title: string, traced: Graph): Figure[] {
  const { nodesBefore, nodesAfter, boughtBy } = explain(traced);
  return [
    { label: `${title}: as traced`, value: nodesBefore, unit: "nodes" },
    { label: `${title}: after all passes`, value: nodesAfter, unit: "nodes" },
    ...[...boughtBy].map(([name, value]) => ({ label: `${title}: fewer by ${name}`, value, unit: "nodes" })),
    {
      label: `${title}: intermediate values at the worst moment`,
      value: peakBytes(optimize(traced)) / MIB,
      unit: "MiB",
    },
  ];
}
