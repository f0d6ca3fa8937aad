/** A traced step's gradients beside finite differences of its loss, both in float64. */
import { Random } from "../../dataset/random.ts";
import { interpret } from "../graph/interpret/interpret.ts";
import { sizeOf } from "../graph/ir.ts";
import { removeDeadNodes } from "../graph/passes/dead-nodes.ts";
import { layOut, scatter, trainableSlots } from "../layout.ts";
import { traceTrainStep } from "../onnx-runtime.ts";
import { LOSS, SCHEDULE, batchName, firstName, secondName, weightsName } from "../program.ts";
import { nextName } from "../runtime.ts";
import type { InputSpecs, TrainStepDefinition } from "../types.ts";

export interface GradientCheck {
  /** Largest difference of a gradient and its finite difference, by the largest gradient. */
  readonly relativeError: number;
  /** Largest finite difference. */
  readonly largest: number;
}

const BETA1 = 0.9;
const STEP = 1e-5;

/** Looks at `samples` weights, one of each tensor in turn from the last on (the head), at random weights. */
export function checkGradients<I extends InputSpecs>(
  definition: Omit<TrainStepDefinition<I>, "optimizer">,
  batch: Readonly<Record<string, ArrayLike<number>>>,
  { samples, spread, seed }: { samples: number; spread: number; seed: number },
): GradientCheck {
  const optimizer = { beta1: BETA1, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1e9 };
  const graph = traceTrainStep({ ...definition, optimizer });
  const random = new Random(seed);
  const layout = layOut(definition.parameters);

  const inputs: Record<string, ArrayLike<number>> = { [SCHEDULE]: [1e-8, 0, 1] };
  for (const [name, values] of Object.entries(batch)) inputs[batchName(name)] = values;
  const flat = Float32Array.from({ length: layout.length }, () => spread * random.normal());
  const weights = layout.slots.map((slot) => {
    const values = new Float32Array(slot.length);
    scatter(slot, flat, values);
    inputs[firstName(slot)] = new Float64Array(sizeOf(slot.shape));
    inputs[secondName(slot)] = new Float64Array(sizeOf(slot.shape));
    const exact = Float64Array.from(values);
    inputs[weightsName(slot)] = exact;
    return { slot, values: exact };
  });

  const trained = new Set(trainableSlots(layout));
  const candidates = weights.filter(({ slot }) => trained.has(slot));
  const outputs = interpret(graph, inputs);
  const forward = removeDeadNodes({ ...graph, outputs: graph.outputs.filter(({ name }) => name === LOSS) });
  const loss = (): number => interpret(forward, inputs)[LOSS]?.data[0] ?? NaN;
  let largest = 0;
  let error = 0;
  for (let i = 0; i < samples; i++) {
    const chosen = candidates.at(-1 - (i % candidates.length));
    if (chosen === undefined) continue;
    const { slot, values } = chosen;
    const at = random.below(values.length);
    const value = values[at] ?? NaN;
    values[at] = value + STEP;
    const above = loss();
    values[at] = value - STEP;
    const below = loss();
    values[at] = value;
    // From zero the first moment becomes (1 - beta1) times the gradient.
    const claimed = (outputs[nextName(firstName(slot))]?.data[at] ?? NaN) / (1 - BETA1);
    const difference = (above - below) / (2 * STEP);
    largest = Math.max(largest, Math.abs(difference));
    error = Math.max(error, Math.abs(claimed - difference));
  }
  return { largest, relativeError: error / largest };
}
