import { expect, it } from "vitest";
import { createEngine } from "../../engine/engine.ts";
import type { VitConfig } from "../../model/sizes.ts";
import { encoderParameters, initialHead } from "../layers.ts";
import { viewArrays, wholeImages } from "../views.ts";
import { Random } from "../../dataset/random.ts";
import { segmentationInference } from "./kind.ts";
import { segmentationParameters } from "./network.ts";

const config: VitConfig = { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 1, heads: 2 };
const sizePx = 8;
const cached = { sizePx, depthPx: 1 };

/** Rows of a picture turned left to right. */
const mirrored = (values: Uint8Array | Float32Array): number[] =>
  Array.from(values, (_, i) => values[Math.floor(i / sizePx) * sizePx + sizePx - 1 - (i % sizePx)] ?? NaN);

async function ask(classes: readonly string[], picture: Uint8Array): Promise<Float32Array> {
  const parameters = [...encoderParameters(config, 1), ...segmentationParameters(config, "linear", 1)];
  const engine = await createEngine({ threads: 1, device: "cpu" });
  const options = { config, cached, batchSize: 1 };
  const inference = await engine.compileInference(
    segmentationInference(options, "linear", classes, parameters),
  );
  await inference.writeWeights(initialHead(parameters, { stdDev: () => 0.5, bias: () => 0.1 }, 3));
  const { probabilities = new Float32Array() } = await inference.run(
    viewArrays(config, cached, picture, wholeImages(cached, 1)),
  );
  await inference.dispose();
  return probabilities;
}

it("says of a mirror image the mirror of what it says, unless a class names a side", async () => {
  const random = new Random(1);
  const picture = Uint8Array.from({ length: sizePx ** 2 }, () => 256 * random.uniform());
  const turned = Uint8Array.from(mirrored(picture));
  const apart = async (name: string): Promise<number> => {
    const [straight, back] = [await ask([name], picture), mirrored(await ask([name], turned))];
    return Math.max(...straight.map((value, i) => Math.abs(value - (back[i] ?? NaN))));
  };
  expect(await apart("lungs")).toBeLessThan(1e-5);
  expect(await apart("left lung")).toBeGreaterThan(0.01);
});
