import { expect, it } from "vitest";
import { Random } from "../dataset/random.ts";
import { maeArrays, maeForward, maeInputs, maeLoss, maeParameters, type MaeConfig } from "../pretext/mae.ts";
import { checkGradients } from "./testing/finite-differences.ts";

const CONFIG: MaeConfig = {
  encoder: { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 2, heads: 2 },
  decoder: { width: 4, depth: 1, heads: 1 },
  visible: 2,
  normPixLoss: true,
};
const CACHE_PX = 10;
const BATCH = 2;
const CACHE = { sizePx: CACHE_PX, depthPx: 1 };

it("the traced MAE step has the gradients that float64 finite differences give", () => {
  const random = new Random(1);
  const images = Uint8Array.from({ length: BATCH * CACHE_PX ** 2 }, () => random.below(256));
  const crop = { top: 1, left: 0.5, height: 8, width: 9, flip: true };
  const { largest, relativeError } = checkGradients(
    {
      parameters: maeParameters(CONFIG),
      inputs: maeInputs(CONFIG, CACHE, BATCH),
      loss: (weights, inputs) => ({ loss: maeLoss(maeForward(weights, inputs, CONFIG)) }),
    },
    maeArrays(CONFIG, CACHE, images, [crop, crop], random),
    { samples: 60, spread: 0.3, seed: 2 },
  );
  expect(largest).toBeGreaterThan(1e-3);
  expect(relativeError).toBeLessThan(1e-6);
});
