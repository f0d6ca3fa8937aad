import "@tensorflow/tfjs-backend-cpu";
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { compilePretextStep } from "../training/pretext-step.ts";
import { sameBits, toyImages, toyPlan } from "../training/testing/toy.ts";
import { createEngine } from "./engine.ts";
import { optimize } from "./graph/passes/optimize.ts";
import { peakBytes } from "./graph/peak-bytes.ts";
import { recompute, withRecomputation } from "./recompute.ts";
import { transformerBlock } from "./testing/block.ts";
import {
  expectSame,
  expectTrueGradients,
  traceCase,
  withGradients,
  type Case,
  type TensorFunction,
} from "./testing/compare.ts";
import * as tf from "./tf.ts";
import type { Engine, StepOptions } from "./types.ts";

const { inputs, run } = transformerBlock(1);
const once = (...tensors: tf.Tensor[]): tf.Tensor => run(...tensors) as tf.Tensor;

/** Three blocks with the same weights, one after the other. */
function stack(on: boolean): Case {
  const block = recompute(once);
  const three: TensorFunction = (x, ...weights) =>
    [1, 2, 3].reduce<tf.Tensor>((y) => block(y, ...weights), x);
  const differentiated = withGradients({ inputs, run: three });
  return { inputs, run: (...tensors) => withRecomputation(on, () => differentiated.run(...tensors)) };
}

describe("blocks that are computed again", () => {
  it("have the same value and gradients as TF.js' own backend gives", async () => {
    await expectSame(stack(true), 1e-5);
  });

  it("have the gradients that float64 finite differences give", () => {
    expectTrueGradients(optimize(traceCase(stack(true))), inputs, 1e-5);
  });

  it("are computed twice, and leave less to keep", () => {
    const [kept, again] = [false, true].map((on) => optimize(traceCase(stack(on))));
    const norms = (graph = kept): number =>
      graph?.nodes.filter(({ op }) => op === "LayerNormalization").length ?? 0;
    // The last block is not computed again: nothing happens between its two passes here.
    expect(norms(kept)).toBe(6);
    expect(norms(again)).toBeGreaterThanOrEqual(10);
    if (kept === undefined || again === undefined) throw new Error("two graphs");
    expect(peakBytes(again)).toBeLessThan(0.75 * peakBytes(kept));
  });
});

describe("MAE with recomputation", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1 });
  });

  it("has the loss and moments without it, to the last bit", async () => {
    const plan = toyPlan();
    const moments = async (options: StepOptions): Promise<[number, Float32Array]> => {
      const { task, step } = await compilePretextStep(engine, plan, options);
      await step.writeWeights(task.initialWeights(1));
      const { loss } = await step.run(task.prepare(toyImages(8), new Random(2)), 1e-3);
      const { firstMoment } = await step.readOptimizerState();
      await step.dispose();
      return [loss, firstMoment];
    };
    const [loss, first] = await moments({});
    const [lossAgain, firstAgain] = await moments({ recompute: true });
    expect(lossAgain).toBe(loss);
    expect(sameBits(firstAgain, first)).toBe(true);
  });
});
