/** Every kernel of TF.js is supported and tested, or refused with a way out; and docs/engine-operations.md says so. */
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import * as prettier from "prettier";
import { describe, expect, it } from "vitest";
import { Random } from "../../dataset/random.ts";
import { flatKernels, gradientRules } from "../gradients/register.ts";
import { contractFamilies } from "../testing/cases/all.ts";
import type { ContractCase } from "../testing/cases/case.ts";
import { traceCase, uniform, withGradients, type TensorFunction } from "../testing/compare.ts";
import { operationsDocument } from "../testing/operations-document.ts";
import { recordKernels } from "../testing/record-kernels.ts";
import * as tf from "../tf.ts";
import { compositions } from "../compositions/list.ts";
import { kernelNames, supportedKernels, tracedKernels } from "./backend.ts";
import { fusedKernels } from "./fused.ts";
import { unsupportedKernels, withoutGradient } from "./unsupported.ts";

/** Kernels of this project's own, which engine/nn.ts calls, tests and gives a gradient. */
const ownKernels = fusedKernels.map(({ name }) => name);

const cases: readonly ContractCase[] = Object.values(contractFamilies).flat();

describe("coverage", () => {
  it("supports or refuses every kernel of TF.js, and not both", () => {
    const decided = [...supportedKernels, ...unsupportedKernels.keys()].sort();
    expect(decided).toEqual([...kernelNames(), ...ownKernels].sort());
  });

  it("has each kernel once", () => {
    const names = [...tracedKernels, ...compositions].map(({ name }) => name);
    expect(names.length).toBe(supportedKernels.size);
  });

  it("runs each supported kernel in some case of the contract", () => {
    const called = recordKernels(() => {
      for (const contract of cases) {
        for (let seed = 0; seed < (contract.runs ?? 2); seed++) {
          const test = contract.build(new Random(seed));
          traceCase(contract.gradients ? withGradients(test) : test);
        }
      }
    });
    const missed = [...supportedKernels].filter((name) => !called.has(name) && !ownKernels.includes(name));
    expect(missed).toEqual([]);
  });

  it("has a gradient for each kernel, or a reason why not", () => {
    const own = new Set(gradientRules.map(({ kernelName }) => kernelName));
    const withoutInput = new Set<string>([tf.Fill, tf.Range, tf.LinSpace]);
    // TF.js and engine/nn.ts wrap these in gradients of their own.
    const wrapped = new Set([tf._FusedMatMul, tf.FusedConv2D, tf.FusedDepthwiseConv2D, ...ownKernels]);
    const missing = [...supportedKernels].filter(
      (name) => !own.has(name) && !withoutGradient.has(name) && !withoutInput.has(name) && !wrapped.has(name),
    );
    expect(missing).toEqual([]);
    expect([...withoutGradient.keys()].filter((name) => own.has(name))).toEqual([]);
    expect([...flatKernels].filter((name) => !own.has(name))).toEqual([]);
  });

  it("is what docs/engine-operations.md says", async () => {
    const file = path.resolve(import.meta.dirname, "../../../../docs/engine-operations.md");
    const options = await prettier.resolveConfig(file);
    const text = await prettier.format(operationsDocument(), { ...options, parser: "markdown" });
    await expect(text).toMatchFileSnapshot(file);
  });
});

/** What tracing `run` on one [2, 3] tensor throws. */
function refusal(run: TensorFunction): ConsiliumError {
  try {
    traceCase({ inputs: [uniform(new Random(1), [2, 3])], run });
  } catch (error) {
    if (error instanceof ConsiliumError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("refusals name the operation and the way out", () => {
  it("an unsupported kernel", () => {
    const error = refusal((x) => tf.fft(tf.complex(x, x)));
    expect([error.code, error.detail]).toEqual([
      "engine.unsupported-op",
      "(Complex: keep real and imaginary parts as two tensors)",
    ]);
    expect(error.culprits).toEqual([tf.Complex]);
  });

  it("a result whose length depends on the values", () => {
    const error = refusal((x) => tf.unique(tf.reshape(x, [6])).values);
    expect(error.code).toBe("engine.dynamic-shape");
    expect(error.detail).toBe("(Unique: find the distinct values while preparing the data)");
  });

  it("a read", () => {
    const error = refusal((x) => (Number(tf.sum(x).dataSync()[0]) > 0 ? x : tf.neg(x)));
    expect(error.code).toBe("engine.data-dependent");
    expect(error.detail).toContain("the result of Sum was read: choose with tf.where");
    expect(refusal((x) => tf.scalar(Number(x.dataSync()[0]))).detail).toContain("an input of the step");
  });

  it("a read that is awaited", async () => {
    const read: Promise<unknown>[] = [];
    traceCase({
      inputs: [uniform(new Random(1), [2, 3])],
      run: (x) => {
        read.push(tf.whereAsync(tf.greater(x, 0)));
        return x;
      },
    });
    await expect(read[0]).rejects.toMatchObject({ code: "engine.data-dependent", culprits: [tf.Greater] });
  });

  it("a gradient that is not compiled", () => {
    const image: [number, number, number, number] = [1, 2, 3, 1];
    const pooled = (y: tf.Tensor): tf.Tensor => tf.maxPool(tf.reshape<tf.Rank.R4>(y, image), 2, 1, "same");
    const error = refusal((x) => tf.grad((y) => tf.sum(tf.grad(pooled)(y)))(x));
    expect(error.code).toBe("engine.unsupported-op");
    expect(error.detail).toContain("MaxPoolGrad: second derivatives");
  });

  it("a string, a complex number, an activation", () => {
    expect(refusal(() => tf.cast(tf.tensor(["a"]), "string")).detail).toContain("string tensors");
    const activation = "gelu" as "relu";
    expect(refusal((x) => tf.fused.matMul({ a: x, b: tf.ones([3, 2]), activation })).detail).toContain(
      "activation gelu in a fused product",
    );
  });
});
