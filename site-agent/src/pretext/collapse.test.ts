import "@tensorflow/tfjs-backend-cpu";
import { ALARM_ROUNDS, collapse } from "@consilium/shared/health/alarm";
import type { RoundHealth } from "@consilium/shared/health/schema";
import { parsePlan } from "@consilium/shared/plan";
import { expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { createEngine } from "../engine/engine.ts";
import * as tf from "../engine/tf.ts";
import { vitConfig } from "../model/sizes.ts";
import { TOY_CACHE_PX, toyImages } from "../training/testing/toy.ts";
import { pretextTask } from "./index.ts";
import { toyHealth } from "./testing/toy-health.ts";

const BATCH = 16;

/** The alarm after some looks, ten steps apart from the thirtieth on, and the losses. */
async function train(guards: { readonly variance?: number; readonly covariance?: number }) {
  await tf.setBackend("cpu");
  const engine = await createEngine({ threads: 1, device: "cpu" });
  const plan = parsePlan({
    federation: "toy",
    title: "Toy",
    rounds: 9,
    cachePx: TOY_CACHE_PX,
    model: { imagePx: 16, patchPx: 4 },
    training: { batchSize: BATCH },
    pretext: { task: "vicreg", projector: { hidden: 32, width: 16 }, ...guards },
  });
  const encoder = { ...vitConfig(plan.model), width: 32, depth: 2, heads: 4 };
  const task = pretextTask(plan, encoder);
  const images = toyImages(BATCH);
  const step = await engine.compileTrainStep({
    parameters: task.parameters,
    inputs: task.inputs(BATCH),
    loss: (weights, inputs) => task.loss(weights, inputs),
    separable: task.separable,
    optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.05, clipGlobalNorm: 1 },
  });
  await step.writeWeights(task.initialWeights(1));
  const random = new Random(2);
  const losses: number[] = [];
  const looks: RoundHealth[] = [];
  for (let done = 1; looks.length < ALARM_ROUNDS; done++) {
    losses.push((await step.run(task.prepare(images, random), 3e-3)).loss);
    if (done < 30 || done % 10 > 0) continue;
    const features = toyHealth(encoder, await step.readWeights(), images, TOY_CACHE_PX);
    looks.push({ width: encoder.width, ...features, ...UNKNOWN });
  }
  await step.dispose();
  return { losses, alarm: collapse(plan, looks) };
}

const UNKNOWN = {
  heldOutLoss: null,
  meanAnswerLoss: null,
  neighbours: null,
  probe: null,
  commonest: null,
};

it("hears an encoder collapse that is paid for saying the same of every image, and no other", async () => {
  const unguarded = await train({ variance: 1e-9, covariance: 1e-9 });
  expect(unguarded.losses.at(-1)).toBeLessThan(1e-3);
  expect(unguarded.alarm).toContain("nearly the same of every image");
  expect((await train({})).alarm).toBeNull();
});
