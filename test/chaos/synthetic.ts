/**
 * Training replaced by arithmetic that a checker can repeat: what a site's update is follows from its name and the round
 * alone. Everything else of a site is the real program.
 */
import { setTimeout as delay } from "node:timers/promises";
import { sha256 } from "@consilium/shared/canonical";
import { encodeCheckpoint } from "@consilium/shared/codec";
import type { Manifest } from "@consilium/shared/manifest";
import type { Trainer } from "../../site-agent/src/training/types.ts";
import { Random } from "./random.ts";

/** Several tensors; several chunks of an upload. */
export const MANIFEST: Manifest = {
  tensors: [
    { name: "first", shape: [300, 500], dtype: "float32" },
    { name: "second", shape: [50_001], dtype: "float32" },
  ],
};
export const ELEMENTS = 200_001;

/** Within what the plan's learning rate allows, in the last round as well, so that nothing is clipped. */
const LARGEST_MOVE = 1e-3;
const STEPS = 10;

export function initialValues(): Float32Array {
  return Float32Array.from({ length: ELEMENTS }, (_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
}

export const genesisName = () => sha256(encodeCheckpoint({ manifest: MANIFEST, values: initialValues() }));

export function examplesOf(site: string): number {
  return 10 + (seedOf(site, 0) % 50);
}

/** @returns a site's update in a round, of ELEMENTS values */
export function updateOf(site: string, round: number): Float32Array {
  const random = new Random(seedOf(site, round));
  return Float32Array.from({ length: ELEMENTS }, () => random.between(-LARGEST_MOVE, LARGEST_MOVE));
}

const seedOf = (site: string, round: number): number =>
  Number.parseInt(sha256(Buffer.from(`${site} ${round}`)).slice(0, 8), 16);

/** @param trainingMs about how long a round's training takes */
export function syntheticTrainer(site: string, trainingMs: number): Trainer {
  return {
    genesis: () => Promise.resolve({ manifest: MANIFEST, values: initialValues(), changes: [] }),
    countImages: () => Promise.resolve(examplesOf(site)),
    async train({ round }, onProgress, signal) {
      const loss = 1 / round;
      for (let step = 1; step <= STEPS; step++) {
        await delay(trainingMs / STEPS, undefined, { signal });
        onProgress({ step, steps: STEPS, loss, imagesPerSecond: 100 });
      }
      return {
        delta: updateOf(site, round),
        examples: examplesOf(site),
        metrics: { loss, finalLoss: loss, steps: STEPS, updateNorm: 0.1, trainingMs },
        optimizerState: {
          step: round,
          firstMoment: new Float32Array(ELEMENTS),
          secondMoment: new Float32Array(ELEMENTS),
        },
      };
    },
    close: () => Promise.resolve(),
  };
}
