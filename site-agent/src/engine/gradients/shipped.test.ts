import { require as requireTypeScript } from "tsx/cjs/api";
import { expect, it } from "vitest";
import { transformerBlock } from "../testing/block.ts";
import { expectClose, runGraph, runOnCpu, traceCase, withGradients } from "../testing/compare.ts";
import { optimize } from "../graph/passes/optimize.ts";
import * as tf from "../tf.ts";
import { gradientRules } from "./register.ts";

it("the compiled gradients are those of TF.js' CPU backend with the rules that TF.js ships", async () => {
  const test = withGradients(transformerBlock(1));
  const graph = optimize(traceCase(test));

  // Only now: these rules replace this project's. They are files for bundlers, which takes a loader here.
  requireTypeScript("@tensorflow/tfjs-core/dist/register_all_gradients.js", import.meta.url);
  const own = new Set(gradientRules);
  expect(own.has(tf.getGradient(tf.BatchMatMul))).toBe(false);

  const compiled = await runGraph(
    graph,
    test.inputs.map(({ values }) => values),
  );
  const expected = await runOnCpu(test);
  expected.forEach((values, i) => {
    expectClose(compiled[i] ?? [], values, 1e-5);
  });
});
