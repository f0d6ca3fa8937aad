/** Makes the aggregate of a closed round, and says as an event what came of it. */
import { foldRound, movementOf } from "./fold-round.ts";
import { imageCount } from "./image-count.ts";
import type { MaskedRound } from "./masked-round.ts";
import { closeMasked, type MaskedSumPorts } from "./masked-sum.ts";
import type { AggregatingPosition, Contribution, Happening } from "./types.ts";

export interface AggregatePorts extends MaskedSumPorts {
  readonly maskedRound: () => Promise<MaskedRound>;
}

/** @throws what is this machine's affair, such as disk.full */
export async function aggregateRound(
  position: AggregatingPosition,
  ports: AggregatePorts,
): Promise<Happening> {
  const { round, attempt, base: parent, contributions } = position;
  const plan = ports.row.plan.body;
  const { aggregation, federation } = plan;
  if (aggregation.secure === "masked") return closeMasked(ports, position, await ports.maskedRound());
  const { serverState: state, average: job } = ports;
  const strategy = { ...movementOf(plan), serverState: state, average: job };
  const folded = await foldRound(ports.aggregator, federation, strategy, position);
  if ("failure" in folded) return { type: "attempt.failed", round, attempt, ...folded.failure };
  if ("culprit" in folded) {
    const { culprit: site, reason } = folded;
    return { type: "contribution.lost", round, attempt, site, reason };
  }
  const { sha256, serverState, average } = folded;
  const examples = contributions.reduce((sum, { examples: own }) => sum + (own ?? 0), 0);
  const sites = contributions.map(({ site }) => site);
  const record = ports.record({ round, sha256, parent, sites, ...imageCount(plan, examples) });
  const heldOutLoss = meanHeldOutLoss(contributions);
  return { type: "round.aggregated", attempt, record, serverState, average, heldOutLoss };
}

/** Of the sites that hold images out, each counting alike; null if none does. */
function meanHeldOutLoss(contributions: readonly Contribution[]): number | null {
  const losses = contributions.flatMap(({ metrics }) => metrics?.heldOutLoss ?? []);
  return losses.length === 0 ? null : losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}
