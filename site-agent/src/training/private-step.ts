/** The plan's pretext task as one compiled step that protects patients. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import { SecureRandom } from "@consilium/shared/privacy/secure-random";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { createEngine } from "../engine/engine.ts";
import type { Engine, PrivateStepOptions } from "../engine/types.ts";
import type { VitConfig } from "../model/sizes.ts";
import { pretextTask } from "../pretext/index.ts";
import { adamWOptions, type PretextStep } from "./pretext-step.ts";
import { PARTS, partExamples } from "./private-batches.ts";
import { replicaEngines } from "./replica-engines.ts";
import type { TrainingEngine } from "./types.ts";

/** @throws privacy.unsupported, privacy.not-per-example, plan.invalid, engine.* */
export async function openPrivateStep(
  settings: TrainingEngine,
  plan: Plan,
  terms: PrivacyTerms,
): Promise<PretextStep> {
  const { devices = 1, microBatches = 1, recompute = false } = settings;
  const others = [
    ...(devices > 1 ? ["devices"] : []),
    // A batch comes in as many parts as it is.
    ...(microBatches > PARTS ? ["micro-batches"] : []),
    ...(recompute ? ["recompute"] : []),
  ];
  if (others.length > 0) {
    throw new ConsiliumError("privacy.unsupported", { detail: `(${others.join(", ")})`, culprits: others });
  }
  const [engine] = await replicaEngines(settings);
  return compilePrivateStep(await createEngine(engine), plan, terms);
}

/**
 * @param drawNoise only tests and benchmarks give one
 * @param encoder only tests give another than the plan's
 */
export async function compilePrivateStep(
  engine: Engine,
  plan: Plan,
  terms: PrivacyTerms,
  drawNoise = secureNoise(),
  encoder?: VitConfig,
): Promise<PretextStep> {
  const task = pretextTask(plan, encoder);
  const examples = partExamples(plan, terms);
  const { clipL2Norm, noiseMultiplier, expectedExamples } = terms;
  const step = await engine.compileTrainStep(
    {
      parameters: task.parameters,
      inputs: task.inputs(examples),
      loss: (parameters, inputs) => task.loss(parameters, inputs),
      separable: task.separable,
      optimizer: adamWOptions(plan),
    },
    {
      privacy: {
        examples,
        clipL2Norm,
        noiseStdDev: noiseMultiplier * clipL2Norm,
        expectedExamples,
        drawNoise,
      },
    },
  );
  return { task, step };
}

function secureNoise(): PrivateStepOptions["drawNoise"] {
  const random = new SecureRandom();
  return (out, stdDev) => {
    random.fillNormal(out, stdDev);
  };
}
