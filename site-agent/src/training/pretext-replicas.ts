/** The plan's pretext task on several devices, as one step. */
import type { Plan } from "@consilium/shared/plan";
import type { PrivacyTerms } from "@consilium/shared/privacy/terms";
import { createEngine } from "../engine/engine.ts";
import { startReplicas } from "../engine/parallel/replica-group.ts";
import type { ReplicaOptions } from "../engine/parallel/replica-protocol.ts";
import type { EngineOptions } from "../engine/types.ts";
import {
  compilePretextStep,
  pretextDefinition,
  type PretextRecipe,
  type PretextStep,
} from "./pretext-step.ts";
import { replicaEngines } from "./replica-engines.ts";
import { openPrivateStep } from "./private-step.ts";
import type { TrainingEngine } from "./types.ts";

/** The step on the devices that the settings name. @throws plan.invalid, engine.*, privacy.unsupported */
export async function openPretextStep(
  settings: TrainingEngine,
  plan: Plan,
  privacy: PrivacyTerms | null = null,
): Promise<PretextStep> {
  const { microBatches = 1, recompute = false } = settings;
  if (privacy !== null) return openPrivateStep(settings, plan, privacy);
  const options = { microBatches, recompute };
  const [engine, ...others] = await replicaEngines(settings);
  if (others.length === 0) return compilePretextStep(await createEngine(engine), plan, options);
  return startPretextReplicas([engine, ...others], plan, options);
}

const SCRIPT = new URL("./replica-worker.ts", import.meta.url);

/**
 * A step on whole batches of the plan.
 * @param engines one for each device
 * @throws plan.invalid, engine.*, engine.not-separable if the batch has no such equal parts
 */
export async function startPretextReplicas(
  engines: readonly EngineOptions[],
  plan: Plan,
  options: ReplicaOptions = {},
): Promise<PretextStep> {
  const recipe: PretextRecipe = { plan, parts: engines.length * (options.microBatches ?? 1) };
  const { task, definition } = pretextDefinition(recipe);
  return { task, step: await startReplicas({ script: SCRIPT, recipe, definition, engines, options }) };
}
