/** The demo's federation plan. */
import type { PlanInput } from "@consilium/shared/plan";
import type { DemoOptions } from "./options.ts";

export const FEDERATION = "demo";

export function demoPlan(
  options: Pick<DemoOptions, "data" | "rounds" | "model" | "seed" | "images">,
  sites: number,
): PlanInput {
  const warmupRounds = Math.min(1, options.rounds);
  return {
    federation: FEDERATION,
    title: `Demo: ${sites} hospitals, chest radiographs`,
    seed: options.seed,
    rounds: options.rounds,
    minSites: sites,
    roundDeadlineMs: 10 * 60_000,
    // With two, each could read the other's update from the sum.
    aggregation:
      sites < 3
        ? { secure: "plain" }
        : {
            secure: "masked",
            ...(options.data === null ? { examplesCap: examplesCap(options.images) } : {}),
          },
    cachePx: 96,
    model: { size: options.model, imagePx: 64, patchPx: 8 },
    // Half the default decoder's width: a third less time a step, spent on more steps (docs/performance.md).
    // A phantom's finding is brightness, which a target standardised by patch takes away.
    pretext: { task: "mae", decoder: { width: 64 }, normPixLoss: options.data !== null },
    training:
      options.data === null
        ? { batchSize: 8, learningRate: 1e-3, warmupRounds }
        : { batchSize: 32, localEpochs: 2, learningRate: 1e-3, warmupRounds },
  };
}

/** Hospitals differ in size; a power of two at least twice the mean is above the largest, and near it. */
const examplesCap = (images: number): number => 2 ** Math.ceil(Math.log2(2 * images));
