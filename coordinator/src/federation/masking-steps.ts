/**
 * The steps of a masked round as the reducer counts them: who may answer, who has, and whether it is enough to go on.
 * What is in the messages is masked-round.ts's affair.
 */
import type { SiteId } from "@consilium/shared/ids";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import { isFingerprintRound, type MaskingStep } from "@consilium/shared/protocol/round";
import { GRAPH_DEGREE, MIN_GROUPS, MIN_SURVIVORS, thresholdOf } from "@consilium/shared/secagg/threshold";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import type { MaskingRow } from "../store/store.ts";
import { countWholeGroups, drawn, inWholeGroups, withKeys, type Grouping } from "./masking-groups.ts";
import type { Rules } from "./types.ts";

/** In order. */
const STEPS: readonly MaskingStep[] = ["advertise", "share", "mask", "consistency", "unmask"];
export const FIRST_STEP: MaskingStep = "advertise";

/** Whether sites may have sent their vectors by this step. */
export const isSentBy = (step: MaskingStep): boolean => STEPS.indexOf(step) >= STEPS.indexOf("mask");

/** Steps in which a site only computes and answers do not wait longer than this. */
const SHORT_STEP_MS = 5 * 60_000;

export interface Masking {
  /** Enrolled sites when the attempt began, ordered: their keys are in its context. */
  readonly roster: readonly SiteId[];
  readonly step: MaskingStep;
  /** Sites that may answer in this step, ordered: those that answered in the step before, but for groups that were left out. */
  readonly expected: readonly SiteId[];
  /** Ordered. */
  readonly answered: readonly SiteId[];
  /** Absent where there is one sum. */
  readonly grouping?: Grouping;
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

export function withAnswer(masking: Masking, { site, message }: HeldMessage): Masking {
  const { grouping } = masking;
  return {
    ...masking,
    answered: [...masking.answered, site].sort(),
    ...(grouping && { grouping: withKeys(grouping, message) }),
  };
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

/** With fewer a step leads nowhere. */
function answersNeeded({ minSites }: Rules, cohort: number, { step, grouping }: Masking): number {
  const threshold = thresholdOf(cohort);
  // Each group is opened by its own sites.
  if (step === "unmask" && grouping !== undefined) return 0;
  // Votes and releases are about a sum that is complete; they only have to be enough to open it.
  const isAboutSum = step === "consistency" || step === "unmask";
  return isAboutSum ? threshold : Math.max(minSites, MIN_SURVIVORS, threshold);
}

/** Whether the step could go on with the answers of these sites. */
export function wouldSuffice(
  rules: Rules,
  cohort: number,
  masking: Masking,
  sites: readonly SiteId[],
): boolean {
  if ((countWholeGroups(masking, sites) ?? MIN_GROUPS) < MIN_GROUPS) return false;
  return inWholeGroups(masking, sites).length >= answersNeeded(rules, cohort, masking);
}

export function judgeStep(
  rules: Rules,
  cohort: number,
  masking: Masking,
  { timeIsUp }: { readonly timeIsUp: boolean },
): StepVerdict {
  const { step, expected, answered, grouping } = masking;
  if (!wouldSuffice(rules, cohort, masking, expected)) return { then: "abandon" };
  // Nobody is waited for whose group cannot come to its sum any more.
  const awaited = inWholeGroups(masking, expected);
  const isComplete = awaited.every((site) => answered.includes(site));
  if (!isComplete && !isOpenable(rules, cohort, masking) && !timeIsUp) return { then: "wait" };
  if (!wouldSuffice(rules, cohort, masking, answered)) return { then: "abandon" };
  const next = STEPS[STEPS.indexOf(step) + 1];
  if (next === undefined) return { then: "close" };
  const begun = { ...masking, step: next, expected: inWholeGroups(masking, answered), answered: [] };
  return { then: "advance", masking: { ...begun, ...(grouping && { grouping: drawn(grouping) }) } };
}

/** In a complete mesh any `threshold` releases open a sum: nobody more needs to be waited for. */
function isOpenable(rules: Rules, cohort: number, masking: Masking): boolean {
  const { step, expected, answered, grouping } = masking;
  if (step !== "unmask") return false;
  if (grouping === undefined) {
    return cohort <= GRAPH_DEGREE + 1 && wouldSuffice(rules, cohort, masking, answered);
  }
  return countWholeGroups(masking, answered) === countWholeGroups(masking, expected);
}

export function stepMs({ roundDeadlineMs }: Rules, round: number, step: MaskingStep): number {
  const trains = step === "mask" && !isFingerprintRound(round);
  return trains ? roundDeadlineMs : Math.min(roundDeadlineMs, SHORT_STEP_MS);
}

/** As it was when the step began and these messages had been committed. */
export function restoreMasking(
  { roster, step, messages }: MaskingRow,
  cohort: readonly SiteId[],
  atFirst: Pick<Masking, "grouping">,
): Masking {
  const answeredIn = (which: MaskingStep | undefined): readonly SiteId[] =>
    which === undefined
      ? cohort
      : messages
          .filter(({ message }) => message.step === which)
          .map(({ site }) => site)
          .sort();
  const before = STEPS[STEPS.indexOf(step) - 1];
  let grouping = atFirst.grouping;
  if (grouping !== undefined) {
    for (const { message } of messages) grouping = withKeys(grouping, message);
    if (step !== FIRST_STEP) grouping = drawn(grouping);
  }
  const begun = { roster, step, expected: [], answered: answeredIn(step), ...(grouping && { grouping }) };
  return { ...begun, expected: inWholeGroups(begun, answeredIn(before)) };
}
