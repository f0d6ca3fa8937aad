/** What the first round starts from: drawn from the plan's seed, or taken from the model that the plan names. */
import type { Checkpoint } from "@consilium/shared/codec";
import { trainedPart } from "@consilium/shared/trained-part";
import { vectorLength } from "@consilium/shared/manifest";
import type { Plan } from "@consilium/shared/plan";
import { Holding, type HoldingPorts, type Weights } from "../governance/holding.ts";
import type { Trainer } from "../training/types.ts";
import { NO_PROGRESS, type AgentReport } from "./agent-report.ts";
import type { Membership } from "./session.ts";
import { startingModel, type StartingPorts } from "./starting-model.ts";

export interface FirstModelPorts extends HoldingPorts, StartingPorts {
  readonly trainer: Pick<Trainer, "genesis">;
  readonly report: (report: AgentReport) => void;
}

export interface FirstModel {
  readonly genesis: Checkpoint;
  /** What this site waits for before it takes part. */
  readonly holding: Holding;
}

function trainedText({ model, update }: Weights): readonly string[] {
  if (update === model) return [];
  const millions = (count: number): string => (count / 1e6).toFixed(2);
  return [`${millions(update)} of ${millions(model)} million weights are trained and travel`];
}

/** @throws what startingModel throws; start.unfit, weights.*, naming the weight that does not fit */
export async function firstModel(
  ports: FirstModelPorts,
  {
    plan,
    membership,
    signal,
  }: { readonly plan: Plan; readonly membership: Membership; readonly signal: AbortSignal },
): Promise<FirstModel> {
  // The layout is the same in either case, and what the site waits for depends on it alone.
  const drawn = await ports.trainer.genesis({ ...plan, start: undefined }, null);
  const { manifest: trained } = trainedPart(drawn.manifest, plan.training);
  const weights = { model: vectorLength(drawn.manifest), update: vectorLength(trained) };
  const holding = new Holding(ports, membership, weights);
  if (plan.start === undefined) return { genesis: drawn, holding };
  const tell = (done: number, total: number, note: string | null): void => {
    const nowhere = { phase: "starting", round: null, attempt: null, rounds: plan.rounds } as const;
    ports.report({ ...nowhere, ...NO_PROGRESS, done, total, note });
  };
  const start = await startingModel(ports, {
    plan,
    membership,
    holding,
    onBytes: (done, total) => {
      tell(done, total, null);
    },
    say: (text) => {
      tell(0, 0, text);
    },
    signal,
  });
  const genesis = await ports.trainer.genesis(plan, start);
  tell(0, 0, [...genesis.changes, ...trainedText(weights)].join("; "));
  return { genesis, holding };
}
