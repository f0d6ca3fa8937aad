/** TF.js on TensorFlow's own library, wherever one of its packages is installed. */
import { beforeAll, describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { createEngine } from "./engine.ts";
import { installedTensorFlow, openTensorFlow, TENSORFLOW_BACKEND } from "./tensorflow.ts";
import { contractFamilies } from "./testing/cases/all.ts";
import { expectResults, runOn, runOnCpu, withGradients, type Case } from "./testing/compare.ts";
import { describeTrainStep } from "./testing/train-step-suite.ts";
import type { Engine } from "./types.ts";

const isInstalled = installedTensorFlow() !== null;

describe.skipIf(!isInstalled)("needs @tensorflow/tfjs-node or @tensorflow/tfjs-node-gpu", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "tensorflow" });
  });

  describeTrainStep("tfjs/tensorflow", () => engine);

  for (const [family, cases] of Object.entries(contractFamilies)) {
    describe(`${family} on tfjs/tensorflow`, () => {
      for (const contract of cases) {
        const { name, gradients, tolerance = 1e-5 } = contract;
        it(name, async () => {
          const test = contract.build(new Random(1));
          const prepared = (one: Case): Case => (gradients ? withGradients(one) : one);
          const compared = (results: readonly Float32Array[]) => (gradients ? results.slice(1) : results);
          const expected = await runOnCpu(prepared({ ...test, run: test.reference ?? test.run }));
          const actual = await runOn(TENSORFLOW_BACKEND, prepared(test));
          expectResults(compared(actual), compared(expected), tolerance);
        });
      }
    });
  }
});

it.skipIf(isInstalled)("is refused by name where it is not installed", async () => {
  await expect(openTensorFlow()).rejects.toMatchObject({
    code: "engine.unavailable",
    culprits: ["tensorflow"],
    detail: "(@tensorflow/tfjs-node-gpu or @tensorflow/tfjs-node is not installed)",
  });
});
