/** Where a masked round stands, as the service asks it of a position. */
import type { SiteId } from "@consilium/shared/ids";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import type { MaskingStep } from "@consilium/shared/protocol/round";
import { judgeAnswer } from "./masking-steps.ts";
import type { AggregatingPosition, OpenPosition, Position } from "./types.ts";

interface Which {
  readonly round: number;
  readonly attempt: number;
}

/** Whether the position is this attempt's, open or being added up. */
export function isOfAttempt(
  position: Position,
  { round, attempt }: Which,
): position is OpenPosition | AggregatingPosition {
  const isRound = position.phase === "open" || position.phase === "aggregating";
  return isRound && position.round === round && position.attempt === attempt;
}

/** Whether this step is the current one, and the site in it. */
export function mayAsk(
  position: Position,
  site: SiteId,
  { step, ...which }: Which & { readonly step: MaskingStep },
): boolean {
  if (!isOfAttempt(position, which) || position.phase !== "open") return false;
  return position.masking?.step === step && position.masking.expected.includes(site);
}

/** What would become of a site's answer now. */
export function judgeIn(
  position: Position,
  { step, site, ...which }: Which & { readonly step: MaskingStep; readonly site: SiteId },
): UploadOutcome | "wanted" {
  if (!isOfAttempt(position, which) || position.phase !== "open" || position.masking === null) return "stale";
  return judgeAnswer(position.masking, step, site);
}
