/** When features say that training has stopped to tell images apart. */
import type { Plan } from "../plan-schema.ts";
import { spreadOf } from "./moments.ts";
import type { RoundHealth } from "./schema.ts";

/** One round may mislead: a warm-up, a cohort of three images. */
const ROUNDS = 2;

/**
 * @param newest of the rounds so far, oldest first; those in which nobody looked are left out
 * @returns why the federation should pause, in a sentence, or null
 */
export function collapse(plan: Pick<Plan, "health">, newest: readonly RoundHealth[]): string | null {
  const { leastSpread = 0 } = plan.health ?? {};
  const last = newest.slice(-ROUNDS);
  const spreads = last.map((health) => spreadOf(health, health.width));
  if (spreads.length < ROUNDS || !spreads.every((spread) => spread < leastSpread)) return null;
  const percent = ((spreads.at(-1) ?? 0) * 100).toPrecision(2);
  return `the encoder says nearly the same of every image: its features have ${percent} % of the spread that even ones have, in ${ROUNDS} rounds (RankMe ${(last.at(-1)?.rankMe ?? NaN).toFixed(1)} of ${last.at(-1)?.width ?? 0})`;
}
