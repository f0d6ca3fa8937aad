/** Everything the page works out from a status. Pure. */
import type { FederationStatus, RoundStatus, SiteStatus } from "@consilium/shared/protocol/http";
import { isFingerprintRound, isTrialRound } from "@consilium/shared/protocol/round";
import { counted, formatDurationMs } from "@consilium/shared/units";

const RECENT_ROUNDS = 5;

/** Rounds that have produced a global model. */
export function completedRounds(status: FederationStatus): readonly RoundStatus[] {
  return status.history
    .filter(({ checkpoint, closedAt }) => checkpoint !== null && closedAt !== null)
    .toSorted((a, b) => a.round - b.round);
}

export function roundDurationMs({ openedAt, closedAt }: RoundStatus): number | null {
  return closedAt === null ? null : Math.max(0, Date.parse(closedAt) - Date.parse(openedAt));
}

/** The round that is open now, as far as the coordinator has told. */
export function currentRound(status: FederationStatus): RoundStatus | null {
  if (status.phase === "waiting" || status.phase === "finished") return null;
  return (
    status.history.findLast(({ round, closedAt }) => round === status.round && closedAt === null) ?? null
  );
}

/** From the median of the last rounds, which a night's pause between two of them does not disturb. Null if unknown. */
export function timeLeftMs(status: FederationStatus, nowMs: number): number | null {
  if (status.phase === "finished" || status.phase === "waiting") return null;
  const completed = completedRounds(status);
  const durations = completed.slice(-RECENT_ROUNDS).flatMap((round) => roundDurationMs(round) ?? []);
  const typical = median(durations);
  if (typical === null) return null;
  const open = currentRound(status);
  const elapsed = open === null ? 0 : Math.max(0, nowMs - Date.parse(open.openedAt));
  const roundsLeft = Math.max(0, status.rounds - completed.length);
  return Math.max(0, typical * roundsLeft - Math.min(elapsed, typical));
}

/** From the first round's opening to the last one's closing, or to now. Null before the first round. */
export function elapsedMs(status: FederationStatus, nowMs: number): number | null {
  const first = status.history[0];
  if (first === undefined) return null;
  const last = status.history.at(-1);
  const end = status.phase === "finished" && last?.closedAt ? Date.parse(last.closedAt) : nowMs;
  return Math.max(0, end - Date.parse(first.openedAt));
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  if (upper === undefined) return null;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

export interface LossCurves {
  /** Round numbers, ascending. */
  readonly rounds: readonly number[];
  readonly global: readonly (number | null)[];
  readonly sites: readonly { readonly site: string; readonly losses: readonly (number | null)[] }[];
}

/** A round has a global loss once it has a model, but sites that train in it already show theirs. */
export function lossCurves(status: FederationStatus): LossCurves {
  const byRound = new Map<number, RoundStatus>();
  for (const round of status.history) {
    if (!isTrialRound(round.round, status)) byRound.set(round.round, round);
  }
  const rounds = [...byRound.values()].toSorted((a, b) => a.round - b.round);
  const open = currentRound(status);
  return {
    rounds: rounds.map(({ round }) => round),
    global: rounds.map(({ loss, checkpoint }) => (checkpoint === null ? null : loss)),
    // Under masks nobody knows a single site's loss.
    sites: (showsSites(status) ? status.sites : []).map(({ site, loss, phase }) => ({
      site,
      losses: rounds.map((round) => {
        const contributed = round.contributions.find((contribution) => contribution.site === site);
        if (contributed !== undefined) return contributed.metrics?.loss ?? null;
        return round === open && phase !== "idle" ? loss : null;
      }),
    })),
  };
}

/** Whether single sites' losses and numbers of images are known at all. */
export const showsSites = ({ plan }: FederationStatus): boolean => plan.aggregation.secure === "plain";

/** First and newest global loss; null with fewer than one round. */
export function lossChange(status: FederationStatus): { first: number; last: number; change: number } | null {
  const losses = lossCurves(status).global.filter((loss) => loss !== null);
  const first = losses[0];
  const last = losses.at(-1);
  if (first === undefined || last === undefined) return null;
  return { first, last, change: first === 0 ? 0 : (last - first) / first };
}

/** Where a site is in its round, as a position on the way fetch, train, send. */
export interface SiteProgress {
  /** What the site is doing, for people. */
  readonly text: string;
  /** 0 fetching, 1 training, 2 sending, 3 done; null outside a round. */
  readonly stage: 0 | 1 | 2 | 3 | null;
  /** Share of the stage that is done, 0 to 1. */
  readonly fraction: number;
}

/** @param isTrial nobody trains: the last model is tried */
export function siteProgress({ connected, phase, done, total }: SiteStatus, isTrial = false): SiteProgress {
  const fraction = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  if (!connected && phase !== "waiting") return { text: "Not connected", stage: null, fraction: 0 };
  switch (phase) {
    case "fetching":
      return { text: "Fetching the model", stage: 0, fraction };
    case "training":
      return { text: isTrial ? "Trying the last model" : "Training", stage: 1, fraction };
    case "uploading":
      return { text: "Sending", stage: 2, fraction };
    case "waiting":
      return { text: "Waiting for the others", stage: 3, fraction: 1 };
    case "finetuning":
      return { text: "Fine-tuning", stage: null, fraction };
    case "idle":
      return { text: "Idle", stage: null, fraction: 0 };
  }
}

export interface RoundCell {
  readonly round: number;
  readonly state: "done" | "partial" | "open" | "ahead";
  readonly text: string;
}

/** One cell for each round of the plan, for the strip at the top. */
export function roundCells(status: FederationStatus): readonly RoundCell[] {
  const completed = new Map(completedRounds(status).map((round) => [round.round, round]));
  return Array.from({ length: status.rounds }, (_, index) => {
    const round = index + 1;
    const known = completed.get(round);
    if (known !== undefined) {
      if (known.excluded.length === 0)
        return { round, state: "done", text: `Round ${round}: all contributed` };
      const without = known.excluded.map(({ site, reason }) => `${site} (${reason})`).join(", ");
      return { round, state: "partial", text: `Round ${round}: without ${without}` };
    }
    const isOpen = round === status.round && (status.phase === "open" || status.phase === "aggregating");
    return isOpen
      ? { round, state: "open", text: `Round ${round}: now` }
      : { round, state: "ahead", text: `Round ${round}: to come` };
  });
}

/** A share of a whole, in percent. */
export const formatShare = (share: number): string => `${Math.round(100 * share)} %`;

export function phaseTitle({ phase, round, rounds }: FederationStatus): string {
  const isComparing = (phase === "open" || phase === "aggregating") && isFingerprintRound(round);
  if (isComparing) return "Comparing the sites' images";
  if (phase !== "finished" && isTrialRound(round, { rounds })) return "Trying the last model";
  switch (phase) {
    case "waiting":
      return round === 0 ? "Waiting for sites" : `Paused after round ${round} of ${rounds}`;
    case "open":
      return `Training, round ${round} of ${rounds}`;
    case "aggregating":
      return `Averaging round ${round} of ${rounds}`;
    case "paused":
      return `Paused in round ${round} of ${rounds}: models got worse`;
    case "finished":
      return `Finished after ${counted(Math.min(round, rounds), "round")}`;
  }
}

/** Why a model and what was trained from it is gone. */
export function describeRollback({ checkpoint, loss, before }: NonNullable<RoundStatus["verdict"]>): string {
  const restored = before === null ? "" : `; back to ${shortHash(before.checkpoint)}`;
  return `model ${shortHash(checkpoint)} was worse on held-out images: loss ${formatLoss(loss)} after ${formatLoss(before?.loss ?? null)}${restored}`;
}

/** Coarse on purpose: an estimate to the second would be a lie. */
export function roughly(durationMs: number): string {
  if (durationMs < 10_000) return "a few seconds";
  if (durationMs < 55_000) return `about ${Math.round(durationMs / 10_000) * 10} s`;
  const minutes = Math.round(durationMs / 60_000);
  if (minutes < 60) return `about ${Math.max(1, minutes)} min`;
  const hours = durationMs / 3_600_000;
  return hours < 10 ? `about ${hours.toFixed(1)} h` : `about ${Math.round(hours)} h`;
}

export const formatLoss = (loss: number | null): string => (loss === null ? "–" : loss.toFixed(3));
export const formatCount = (count: number): string => count.toLocaleString("en-GB");
export const shortHash = (hash: string): string => hash.slice(0, 8);

export function formatPercentChange(change: number): string {
  const percent = Math.abs(change * 100).toFixed(Math.abs(change) < 0.1 ? 1 : 0);
  return `${change <= 0 ? "−" : "+"}${percent} %`;
}

/** "12 s ago", "3 min 4 s ago". */
export function ago(atMs: number, nowMs: number): string {
  return nowMs - atMs < 2_000
    ? "just now"
    : `${formatDurationMs(Math.floor((nowMs - atMs) / 1000) * 1000)} ago`;
}
