import { beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import type { Engine } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import type { VitConfig } from "../model/sizes.ts";
import { classifierInference, classifierParameters } from "./classifier.ts";
import { predictImages } from "./predict.ts";
import { againstOthers, attributions, saliencyMap } from "./saliency.ts";
import { toyCache } from "./testing/toy.ts";

const sizePx = 16;
const config: VitConfig = { imagePx: 16, patchPx: 4, channels: 1, width: 16, depth: 2, heads: 2 };
const classes = 3;
const weights = initialWeights(classifierParameters(config, classes, 1), 3);
const toy = toyCache({ images: 6, sizePx, seed: 1 }).cache;
/** The last image is evenly grey. */
const cache = {
  ...toy,
  read: (indices: ArrayLike<number>, out: Uint8Array) => {
    toy.read(indices, out);
    for (let i = 0; i < indices.length; i++)
      if (indices[i] === 5) out.fill(90, i * sizePx ** 2, (i + 1) * sizePx ** 2);
  },
};
const image = (index: number) => ({ index, patient: "", label: "" });

describe("saliency", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("adds up to the score's difference from an evenly grey image, for every class", async () => {
    const batchSize = 6;
    const inference = await engine.compileInference(
      classifierInference({ config, classes, cached: cache, batchSize }),
    );
    await inference.writeWeights(weights);
    const said = await predictImages(
      { inference, config, batchSize },
      "probabilities",
      cache,
      Array.from({ length: 6 }, (_, i) => image(i)),
    );
    await inference.dispose();
    const score = (i: number, c: number): number =>
      againstOthers(c, classes).reduce(
        (sum, part, k) => sum + part * Math.log(said[i * classes + k] ?? NaN),
        0,
      );
    const asked = [0, 1, 2, 3, 4].flatMap((i) => [0, 1, 2].map((c) => [i, c] as const));
    const maps = await attributions(
      { engine, config, classes, weights, cache },
      asked.map(([i, c]) => ({ image: image(i), chosen: againstOthers(c, classes) })),
    );
    for (const [at, [i, c]] of asked.entries()) {
      const sum = maps[at]?.reduce((a, b) => a + b, 0) ?? NaN;
      const difference = score(i, c) - score(5, c);
      expect(Math.abs(sum - difference)).toBeLessThan(0.01 + 0.03 * Math.abs(difference));
    }
    expect(Math.max(...asked.map(([i, c]) => Math.abs(score(i, c) - score(5, c))))).toBeGreaterThan(0.3);
  });

  it("is drawn from -1 to 1", () => {
    const map = saliencyMap(
      Float32Array.from({ length: 16 }, (_, i) => i - 4),
      config,
    );
    expect(map.grid).toBe(4);
    expect(map.values[15]).toBe(1);
    expect(map.values[4]).toBe(0);
    expect(map.values[0]).toBeCloseTo(-4 / 11, 6);
    expect(saliencyMap(new Float32Array(16), config).values.every((value) => value === 0)).toBe(true);
  });
});
