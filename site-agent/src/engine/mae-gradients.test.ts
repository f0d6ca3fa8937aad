import { expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { maeArrays, maeForward, maeInputs, maeLoss, maeParameters, type MaeConfig } from "../pretext/mae.ts";
import { interpret } from "./graph/interpret/interpret.ts";
import { sizeOf } from "./graph/ir.ts";
import { layOut, scatter } from "./layout.ts";
import { LOSS, SCHEDULE, batchName, firstName, secondName, weightsName } from "./program.ts";
import { traceTrainStep } from "./onnx-runtime.ts";
import { nextName } from "./runtime.ts";

const CONFIG: MaeConfig = {
  encoder: { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 2, heads: 2 },
  decoder: { width: 4, depth: 1, heads: 1 },
  visible: 2,
  normPixLoss: true,
};
const CACHE_PX = 10;
const BATCH = 2;
const BETA1 = 0.9;
const CACHE = { sizePx: CACHE_PX, depthPx: 1 };
const SAMPLES = 60;
const STEP = 1e-5;

it("the traced MAE step has the gradients that float64 finite differences give", () => {
  const parameters = maeParameters(CONFIG);
  const graph = traceTrainStep({
    parameters,
    inputs: maeInputs(CONFIG, CACHE, BATCH),
    optimizer: { beta1: BETA1, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1e9 },
    loss: (weights, inputs) => ({ loss: maeLoss(maeForward(weights, inputs, CONFIG)) }),
  });
  const random = new Random(1);
  const images = Uint8Array.from({ length: BATCH * CACHE_PX ** 2 }, () => random.below(256));
  const crop = { top: 1, left: 0.5, height: 8, width: 9, flip: true };
  const batch = maeArrays(CONFIG, CACHE, images, [crop, crop], random);
  const layout = layOut(parameters);

  const inputs: Record<string, ArrayLike<number>> = { [SCHEDULE]: [1e-8, 0, 1] };
  for (const [name, values] of Object.entries(batch)) inputs[batchName(name)] = values;
  const flat = Float32Array.from({ length: layout.length }, () => 0.3 * random.normal());
  const weights = layout.slots.map((slot) => {
    const values = new Float32Array(slot.length);
    scatter(slot, flat, values);
    inputs[firstName(slot)] = new Float64Array(sizeOf(slot.shape));
    inputs[secondName(slot)] = new Float64Array(sizeOf(slot.shape));
    const exact = Float64Array.from(values);
    inputs[weightsName(slot)] = exact;
    return { slot, values: exact };
  });

  const outputs = interpret(graph, inputs);
  const loss = (): number => interpret(graph, inputs)[LOSS]?.data[0] ?? NaN;
  const errors: number[] = [];
  let largest = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const { slot, values } = weights[i % weights.length] ?? { slot: null, values: new Float64Array() };
    if (slot === null) continue;
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
    errors.push(Math.abs(claimed - difference));
  }
  expect(largest).toBeGreaterThan(1e-3);
  expect(Math.max(...errors) / largest).toBeLessThan(1e-6);
});
