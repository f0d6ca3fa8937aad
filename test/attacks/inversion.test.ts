/** Gradient inversion of one update that is not masked, against the sum that masks leave. */
import "@tensorflow/tfjs-backend-cpu";
import { beforeAll, expect, it } from "vitest";
import * as tf from "../../site-agent/src/engine/tf.ts";
import { BATCH, inversions, SITES } from "./inversion/study.ts";

beforeAll(() => tf.setBackend("cpu"));

it("a coordinator with weights of its own reads an image from one unmasked step, and not from the sum of ten sites", () => {
  const { found } = inversions(1);
  const psnrOf = (what: string): number => found.find((one) => one.what === what)?.psnr ?? NaN;
  expect(psnrOf("one site, one image")).toBeGreaterThan(40);
  const sum = psnrOf(`the sum of ${SITES} sites, ${BATCH} images each`);
  // Another patient's image is as near.
  expect(sum).toBeLessThan(psnrOf("another patient's image instead") + 6);
});
