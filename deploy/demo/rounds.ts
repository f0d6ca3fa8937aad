/** The rounds of a federation as the report tells them, and how their loss moves. */
import type { FederationStatus, RoundStatus } from "@consilium/shared/protocol/http";
import type { TrainingRound } from "./report/types.ts";

type History = Pick<FederationStatus, "history">;

/** By round. The status tells of every attempt; only a round's last one leads on, the ones before were abandoned. */
export function trainingRounds(status: History): TrainingRound[] {
  return lastAttempts(status).map(({ round, loss, openedAt, closedAt, contributions }) => ({
    round,
    loss,
    durationMs: closedAt === null ? 0 : Math.max(0, Date.parse(closedAt) - Date.parse(openedAt)),
    sites: contributions.map(({ site, examples, metrics }) => ({
      site,
      examples,
      loss: metrics?.loss ?? null,
    })),
  }));
}

/** Loss of each round that has one, in order. */
export function lossesOf(status: History): number[] {
  return lastAttempts(status).flatMap(({ loss }) => (loss === null ? [] : [loss]));
}

/** Relative fall from the first round's loss to the last one's; null before the second round. */
export function lossFall(losses: readonly number[]): number | null {
  const [first, last] = [losses[0], losses.at(-1)];
  return first === undefined || last === undefined || losses.length < 2 ? null : 1 - last / first;
}

function lastAttempts({ history }: History): RoundStatus[] {
  const ordered = history.toSorted((a, b) => a.round - b.round || a.attempt - b.attempt);
  return [...new Map(ordered.map((attempt) => [attempt.round, attempt])).values()];
}
