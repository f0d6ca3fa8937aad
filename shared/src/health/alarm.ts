/** When features say that training has stopped to tell images apart. */
import type { Plan } from "../plan-schema.ts";
import { spreadOf } from "./moments.ts";
import type { RoundHealth } from "./schema.ts";

/** Early encoders say much the same of every image for two or three rounds, and then no longer. */
export const ALARM_ROUNDS = 4;

/** A spread that has grown so much since it was least is on its way back. */
const RECOVERING = 1.2;

/** Share of labelled images by which a linear probe beats the commonest class if the features are of use to it. */
const OF_USE = 0.05;

/**
 * Little spread alone does not say that an encoder has collapsed: features may differ in the third digit and still be read.
 * So it takes spread that is little for several rounds, does not come back, and is not contradicted by sites' labels.
 * @param newest of the rounds so far, oldest first; those in which nobody looked are left out
 * @returns why the federation should pause, in a sentence, or null
 */
export function collapse(plan: Pick<Plan, "health">, newest: readonly RoundHealth[]): string | null {
  const { leastSpread = 0 } = plan.health ?? {};
  const rounds = newest.slice(-ALARM_ROUNDS);
  const last = rounds.at(-1);
  if (last === undefined || rounds.length < ALARM_ROUNDS) return null;
  const spreads = rounds.map((health) => spreadOf(health, health.width));
  const spread = spreadOf(last, last.width);
  if (!spreads.every((one) => one < leastSpread) || spread > RECOVERING * Math.min(...spreads)) return null;
  if (rounds.some(servesLabels)) return null;
  return `the encoder says nearly the same of every image: its features have ${(spread * 100).toPrecision(2)} % of the spread that even ones have, and in ${ALARM_ROUNDS} rounds it was no more (RankMe ${last.rankMe.toFixed(1)} of ${last.width})`;
}

const servesLabels = ({ probe, commonest }: RoundHealth): boolean =>
  probe !== null && commonest !== null && probe > commonest + OF_USE;
