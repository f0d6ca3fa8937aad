import { describe, expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { attention, gelu, layerNorm, linear, selfAttention } from "./nn.ts";
import {
  expectSame,
  expectSameWithGradients,
  expectTrueGradients,
  traceCase,
  uniform,
  withGradients,
  type TensorFunction,
} from "./testing/compare.ts";
import { optimize } from "./graph/passes/optimize.ts";
import { transformerBlock } from "./testing/block.ts";
import * as tf from "./tf.ts";

type Three = [tf.Tensor, tf.Tensor, tf.Tensor];

describe("layers, traced and on TF.js' CPU backend, with gradients", () => {
  it("linear, on any rank", async () => {
    const random = new Random(1);
    const weights = [uniform(random, [4, 3]), uniform(random, [3])];
    for (const shape of [[4], [5, 4], [2, 3, 4], [2, 1, 3, 4]]) {
      const inputs = [uniform(random, shape), ...weights];
      await expectSameWithGradients({ inputs, run: (...t) => linear(...(t as Three)) });
    }
  });

  it("layerNorm", async () => {
    const random = new Random(2);
    for (const shape of [
      [1, 6],
      [4, 6],
      [2, 3, 8],
    ]) {
      const width = shape.at(-1) ?? 1;
      const inputs = [uniform(random, shape), uniform(random, [width]), uniform(random, [width])];
      await expectSameWithGradients({ inputs, run: (...t) => layerNorm(...(t as Three)) });
    }
  });

  it("gelu, out to where it is 0 or the identity", async () => {
    const inputs = [uniform(new Random(3), [5, 7], -6, 6)];
    await expectSameWithGradients({ inputs, run: (x) => gelu(x) });
  });

  it("attention, with keys of another length", async () => {
    const random = new Random(4);
    const inputs = [
      uniform(random, [2, 3, 4, 5]),
      uniform(random, [2, 3, 6, 5]),
      uniform(random, [2, 3, 6, 2]),
    ];
    await expectSameWithGradients({ inputs, run: (...t) => attention(...(t as Three)) });
    await expectSameWithGradients({
      inputs,
      run: (...t) => {
        const [q, k, v] = t as Three;
        return attention(q, k, v, 0.3);
      },
    });
  });

  it("selfAttention is attention of each head by itself", async () => {
    const random = new Random(5);
    const inputs = [uniform(random, [2, 5, 12])];
    await expectSameWithGradients({ inputs, run: (qkv) => selfAttention(qkv, 2) });
    const difference: TensorFunction = (x) => {
      const qkv = x;
      const head = (which: number, start: number): tf.Tensor =>
        tf.slice(qkv, [0, 0, 4 * which + start], [2, 5, 2]);
      const heads = [0, 2].map((start) => attention(head(0, start), head(1, start), head(2, start)));
      return tf.sub(selfAttention(qkv, 2), tf.concat(heads, 2));
    };
    await expectSame({ inputs, run: (x) => tf.add(difference(x) as tf.Tensor, 1) }, 1e-6);
  });
});

describe("a transformer block", () => {
  const test = transformerBlock(6);

  it("has TF.js' own gradients within 1e-5 relative", async () => {
    await expectSame(withGradients(test), 1e-5);
  });

  it("has the gradients that float64 finite differences give", () => {
    expectTrueGradients(optimize(traceCase(withGradients(test))), test.inputs, 1e-6);
  });

  it("is traced into few operators", () => {
    const graph = optimize(traceCase(test));
    const count = (op: string): number => graph.nodes.filter((node) => node.op === op).length;
    expect(count("LayerNormalization")).toBe(2);
    expect(count("Gemm") + count("MatMul")).toBeLessThanOrEqual(6);
    expect(graph.nodes.length).toBeLessThan(40);
  });
});
