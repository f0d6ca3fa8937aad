/** What rounds say of the encoder's health, and when that is a reason to pause. */
import { collapse } from "@consilium/shared/health/alarm";
import { meanHealth } from "@consilium/shared/health/extras";
import type { RoundHealth } from "@consilium/shared/health/schema";
import type { Plan } from "@consilium/shared/plan";
import type { RoundRow } from "../store/store.ts";
import type { Happening } from "./types.ts";

type Found = Pick<RoundRow, "contributions" | "totals">;

/** Out of the unmasked sum, or the mean of what sites said where nothing is masked; null where nobody looked. */
export function healthOf({ totals, contributions }: Found): RoundHealth | null {
  if (totals !== null) return totals.health ?? null;
  return meanHealth(
    contributions.flatMap(({ examples, health }) =>
      examples === null || health === undefined ? [] : [{ examples, health }],
    ),
  );
}

/**
 * What became of a round, with the reason to pause after it where there is one.
 * @param rounds so far, the newest not yet with its totals
 */
export function withAlarm(event: Happening, plan: Plan, rounds: readonly RoundRow[]): Happening {
  const newest = rounds.at(-1);
  if (event.type !== "round.aggregated" || newest === undefined) return event;
  return { ...event, alarm: alarmOf(plan, rounds, { ...newest, totals: event.totals ?? null }) };
}

/** The same again, once the newest round is on record. */
export function alarmAfter(plan: Plan, rounds: readonly RoundRow[]): string | undefined {
  const newest = rounds.at(-1);
  return newest === undefined ? undefined : alarmOf(plan, rounds.slice(0, -1), newest);
}

/** @param newest what is known of the newest round now */
export function alarmOf(plan: Plan, rounds: readonly RoundRow[], newest: Found): string | undefined {
  // An operator who resumed has seen what came before.
  const since = rounds.slice(rounds.findLastIndex(({ resumed }) => resumed) + 1);
  const before = since.filter(({ outcome }) => outcome === "aggregated");
  const known = [...before, newest].flatMap((row) => healthOf(row) ?? []);
  return collapse(plan, known) ?? undefined;
}
