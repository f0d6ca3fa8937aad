import "@tensorflow/tfjs-backend-cpu";
import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { applyProgram } from "./apply-program.ts";
import { eagerRuntime } from "./eager-runtime.ts";
import { gradientProgram } from "./gradient-program.ts";
import { onnxRuntime } from "./onnx-runtime.ts";
import { scheduleValues } from "./optimizer.ts";
import {
  GRADIENT_NORM,
  KEPT_GRADIENT,
  LOSS,
  SCHEDULE,
  batchFeeds,
  gradientName,
  weightsName,
  type Program,
} from "./program.ts";
import { cpuProvider } from "./providers/cpu.ts";
import type { Runtime, Workspace } from "./runtime.ts";
import { gradientShapes, stateShapes, toArrays, toFlat } from "./state.ts";
import { stepProgram, type StepProgram } from "./step-program.ts";
import { expectClose } from "./testing/compare.ts";
import * as tf from "./tf.ts";
import type { TrainStepDefinition } from "./types.ts";

const EXAMPLES = 3;
const INPUTS = { x: { shape: [EXAMPLES, 4], dtype: "float32" } } as const;
const LENGTH = 4 * 2 + 2 + 2;

/** The mean over examples of a small network's squared error, with a frozen parameter and one that is not used. */
const definition: TrainStepDefinition<typeof INPUTS> = {
  parameters: [
    { name: "w", shape: [4, 2], decay: true, learningRateScale: 1 },
    { name: "frozen", shape: [2], decay: true, learningRateScale: 0 },
    { name: "unused", shape: [2], decay: false, learningRateScale: 0.5 },
  ],
  inputs: INPUTS,
  optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, clipGlobalNorm: 0.5 },
  loss: (weights, { x }) => {
    const y = tf.tanh(tf.add(tf.matMul(x, weights.get("w") ?? x), weights.get("frozen") ?? x));
    return { loss: tf.mean(tf.square(y)) };
  },
};

const random = new Random(1);
const normal = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
const WEIGHTS = normal(LENGTH);
const [FIRST, SECOND] = [normal(4 * EXAMPLES), normal(4 * EXAMPLES)];
const schedule = ({ scales }: StepProgram): Float32Array =>
  scheduleValues(definition.optimizer, scales, 0.1, 1);

const runtimes: readonly [string, () => Runtime][] = [
  ["compiled", () => onnxRuntime(cpuProvider(1))],
  ["reference", () => eagerRuntime("cpu")],
];

describe.each(runtimes)("a %s step in two halves", (_, runtime) => {
  it("updates as the whole step does", async () => {
    const program = stepProgram(definition);
    const { slots } = program.layout;
    const feeds = batchFeeds(INPUTS, { x: FIRST });
    const values = new Map([[SCHEDULE, schedule(program)]]);
    const open = async (): Promise<Workspace<Program>> => {
      const workspace = runtime().openWorkspace(
        new Map([...stateShapes(program, definition.optimizer), ...gradientShapes(program)]),
      );
      await workspace.write(toArrays(slots, weightsName, WEIGHTS));
      return workspace;
    };
    const weightsOf = async (workspace: Workspace<Program>): Promise<Float32Array> =>
      toFlat(slots, weightsName, await workspace.read(slots.map(weightsName)), LENGTH);

    const whole = await open();
    const step = await (await whole.prepare(program)).run(new Map([...feeds, ...values]));
    step.commit();

    const halves = await open();
    const gradients = await halves.prepare(gradientProgram(definition, { accumulate: false }));
    const apply = await halves.prepare(applyProgram(definition, 1));
    const first = await gradients.run(feeds);
    first.commit();
    const second = await apply.run(values);
    second.commit();

    expectClose(first.outputs.get(LOSS) ?? [], step.outputs.get(LOSS) ?? [NaN], 1e-6);
    const norm = step.outputs.get(GRADIENT_NORM) ?? [NaN];
    expectClose(second.outputs.get(GRADIENT_NORM) ?? [], norm, 1e-6);
    const updated = await weightsOf(halves);
    expectClose(updated, await weightsOf(whole), 1e-6);
    expect(updated).not.toEqual(WEIGHTS);
    await whole.dispose();
    await halves.dispose();
  });

  it("adds up gradients, or starts anew", async () => {
    const program = stepProgram(definition);
    const workspace = runtime().openWorkspace(
      new Map([...stateShapes(program, definition.optimizer), ...gradientShapes(program)]),
    );
    const { slots } = program.layout;
    await workspace.write(toArrays(slots, weightsName, WEIGHTS));
    const replace = await workspace.prepare(gradientProgram(definition, { accumulate: false }));
    const add = await workspace.prepare(gradientProgram(definition, { accumulate: true }));
    const read = async (): Promise<Float32Array> =>
      toFlat(
        program.trainable,
        gradientName,
        await workspace.read(program.trainable.map(gradientName)),
        LENGTH,
      );

    const of: Float32Array[] = [];
    for (const x of [FIRST, SECOND]) {
      (await replace.run(batchFeeds(INPUTS, { x }))).commit();
      of.push(await read());
    }
    const [one = new Float32Array(), two = new Float32Array()] = of;
    expect(Math.max(...one.map(Math.abs))).toBeGreaterThan(1e-2);
    const onTop = async (kept: number): Promise<Float32Array> => {
      const feeds = batchFeeds(INPUTS, { x: FIRST }).set(KEPT_GRADIENT, Float32Array.of(kept));
      (await add.run(feeds)).commit();
      return read();
    };
    const sum = one.map((value, i) => value + (two[i] ?? NaN));
    expectClose(await onTop(1), sum, 1e-6);
    expect(await onTop(0)).toEqual(one);
    await workspace.dispose();
  });
});
