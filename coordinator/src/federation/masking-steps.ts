/**
 * The steps of a masked round as the reducer counts them: who may answer, who has, and whether it is enough to go on.
 * What is in the messages is masked-round.ts's affair.
 */
import type { SiteId } from "@consilium/shared/ids";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import { isFingerprintRound, type MaskingStep } from "@consilium/shared/protocol/round";
import { GRAPH_DEGREE, MIN_SURVIVORS, thresholdOf } from "@consilium/shared/secagg/threshold";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import type { Rules } from "./types.ts";

/** In order. */
const STEPS: readonly MaskingStep[] = ["advertise", "share", "mask", "consistency", "unmask"];
export const FIRST_STEP: MaskingStep = "advertise";

/** Steps in which a site only computes and answers do not wait longer than this. */
const SHORT_STEP_MS = 5 * 60_000;

export interface Masking {
  /** Enrolled sites when the attempt began, ordered: their keys are in its context. */
  readonly roster: readonly SiteId[];
  readonly step: MaskingStep;
  /** Sites that may answer in this step, ordered: those that answered in the step before. */
  readonly expected: readonly SiteId[];
  /** Ordered. */
  readonly answered: readonly SiteId[];
}

/** A message that the coordinator holds. */
export interface HeldMessage {
  readonly site: SiteId;
  readonly message: MaskingMessage;
}

/** What would become of a site's answer now. */
export function judgeAnswer(masking: Masking, step: MaskingStep, site: SiteId): UploadOutcome | "wanted" {
  if (step !== masking.step || !masking.expected.includes(site)) return "stale";
  return masking.answered.includes(site) ? "duplicate" : "wanted";
}

export function withAnswer(masking: Masking, site: SiteId): Masking {
  return { ...masking, answered: [...masking.answered, site].sort() };
}

/** A site that will not answer in this step any more. */
export function withoutAnswer(masking: Masking, site: SiteId): Masking {
  return { ...masking, expected: masking.expected.filter((other) => other !== site) };
}

export type StepVerdict =
  /** More answers may come. */
  | { readonly then: "wait" }
  /** Too few are left: this attempt leads nowhere. */
  | { readonly then: "abandon" }
  | { readonly then: "advance"; readonly masking: Masking }
  /** All there is to know for the sum is known. */
  | { readonly then: "close" };

/** With fewer a round, or a step of a masked one, leads nowhere. @param step null where updates are not masked */
export function answersNeeded({ minSites }: Rules, cohort: number, step: MaskingStep | null): number {
  if (step === null) return minSites;
  const threshold = thresholdOf(cohort);
  // Votes and releases are about a sum that is complete; they only have to be enough to open it.
  const isAboutSum = step === "consistency" || step === "unmask";
  return isAboutSum ? threshold : Math.max(minSites, MIN_SURVIVORS, threshold);
}

export function judgeStep(
  rules: Rules,
  cohort: number,
  masking: Masking,
  { timeIsUp }: { readonly timeIsUp: boolean },
): StepVerdict {
  const { step, expected, answered } = masking;
  const need = answersNeeded(rules, cohort, step);
  if (expected.length < need) return { then: "abandon" };
  // In a complete mesh any `threshold` releases open the sum; nobody needs to be waited for.
  const isEnough = step === "unmask" && cohort <= GRAPH_DEGREE + 1 && answered.length >= need;
  if (answered.length < expected.length && !isEnough && !timeIsUp) return { then: "wait" };
  if (answered.length < need) return { then: "abandon" };
  const next = STEPS[STEPS.indexOf(step) + 1];
  if (next === undefined) return { then: "close" };
  return { then: "advance", masking: { ...masking, step: next, expected: answered, answered: [] } };
}

export function stepMs({ roundDeadlineMs }: Rules, round: number, step: MaskingStep): number {
  const trains = step === "mask" && !isFingerprintRound(round);
  return trains ? roundDeadlineMs : Math.min(roundDeadlineMs, SHORT_STEP_MS);
}

/** As it was when the step began and these messages had been committed. */
export function restoreMasking(
  roster: readonly SiteId[],
  cohort: readonly SiteId[],
  step: MaskingStep,
  messages: readonly HeldMessage[],
): Masking {
  const answeredIn = (which: MaskingStep | undefined): readonly SiteId[] =>
    which === undefined
      ? cohort
      : messages
          .filter(({ message }) => message.step === which)
          .map(({ site }) => site)
          .sort();
  const before = STEPS[STEPS.indexOf(step) - 1];
  return { roster, step, expected: answeredIn(before), answered: answeredIn(step) };
}
