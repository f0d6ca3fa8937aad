/** Gradient inversion of one update that is not masked, against the sum that masks leave. */
import "@tensorflow/tfjs-backend-cpu";
import { beforeAll, expect, it } from "vitest";
import * as tf from "../../site-agent/src/engine/tf.ts";
import { BATCH, inversions, SITES } from "./inversion/study.ts";

beforeAll(() => tf.setBackend("cpu"));

it("a coordinator with weights of its own reads an image from one unmasked step, and not from the sum of ten such steps", () => {
  const { found } = inversions(1);
  const gainOf = (wanted: string): number => found.find(({ what }) => what === wanted)?.gain ?? NaN;
  expect(gainOf("one site, one image")).toBeGreaterThan(20);
  // Another patient's image is nearer.
  expect(gainOf(`the sum of ${SITES} sites, one image each`)).toBeLessThan(0);
  expect(gainOf(`the sum of ${SITES} sites, ${BATCH} images each`)).toBeLessThan(0);
});
