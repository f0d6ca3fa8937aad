/**
 * Whom a round waits for. A site that gets on is waited for, however slow it is, and beyond the plan's deadline; one that
 * has fallen silent is not, as soon as nothing else is waited for. What silence is follows from the site's own pace.
 * Clock readings are of this process alone. Pure.
 */
import type { SiteId } from "@consilium/shared/ids";
import { formatDurationMs } from "@consilium/shared/units";
import type { LiveSite, Pace } from "./live.ts";
import { wouldSuffice } from "./masking-steps.ts";
import type { Exclusion, FederationState, OpenPosition } from "./types.ts";

/** Nobody is called silent sooner. */
const LEAST_SILENCE_MS = 2 * 60_000;
/** A pause that is so many times the longest before it is no pause any more. */
const SILENCE_FACTOR = 4;
/** An estimate is given this much more, and at least so long. */
const ESTIMATE_FACTOR = 1.25;
const LEAST_EXTENSION_MS = 30_000;
/** In all, a round takes no longer than this many times the plan's deadline. */
const PATIENCE = 4;

export type Outlook =
  /** It gets on, or did when it was last heard. `finishAtMs` is null where its pace tells nothing. */
  | { readonly is: "moving"; readonly finishAtMs: number | null; readonly text: string }
  | { readonly is: "silent"; readonly text: string }
  /** It is there and has not said anything of this attempt. */
  | { readonly is: "quiet"; readonly text: string };

export interface Judgement {
  /** Not waited for any longer; the round goes on without them if all the others are there. */
  readonly silent: readonly Exclusion[];
  /** When the deadline passes now, until when it is put off for those who get on; null if for nobody. */
  readonly waitUntilMs: number | null;
}

type LiveOf = (site: SiteId) => Pick<LiveSite, "lastSeenAtMs" | "pace">;

/** The sites whose answer the round waits for now. */
export function awaited({ cohort, contributions, refused, masking }: OpenPosition): readonly SiteId[] {
  if (masking !== null) return masking.expected.filter((site) => !masking.answered.includes(site));
  return cohort.filter((site) => ![...contributions, ...refused].some((other) => other.site === site));
}

export function judgeLiveness(
  { rules, connected }: Pick<FederationState, "rules" | "connected">,
  position: OpenPosition,
  liveOf: LiveOf,
  nowMs: number,
): Judgement {
  const sites = awaited(position);
  const outlooks = sites.map((site) => ({
    site,
    outlook: outlookOf(position, liveOf(site), connected.includes(site), nowMs),
  }));
  const silent = outlooks.flatMap(({ site, outlook }) =>
    outlook.is === "silent" ? [{ site, reason: outlook.text }] : [],
  );
  const { masking, contributions, cohort, openedAtMs } = position;
  const isEnough =
    masking === null
      ? contributions.length >= rules.minSites
      : wouldSuffice(rules, cohort.length, masking, masking.answered);
  const finishes = outlooks.flatMap(({ outlook }) =>
    outlook.is === "moving" ? [outlook.finishAtMs ?? nowMs] : [],
  );
  const latest = openedAtMs + PATIENCE * rules.roundDeadlineMs;
  const margin = Math.max(
    LEAST_EXTENSION_MS,
    (ESTIMATE_FACTOR - 1) * Math.max(0, ...finishes.map((at) => at - nowMs)),
  );
  const until = Math.min(latest, Math.max(nowMs, ...finishes) + margin);
  return {
    silent: silent.length === sites.length && isEnough ? silent : [],
    waitUntilMs: finishes.length > 0 && until > nowMs ? until : null,
  };
}

export function outlookOf(
  { round, attempt, openedAtMs }: Pick<OpenPosition, "round" | "attempt" | "openedAtMs">,
  { lastSeenAtMs, pace }: ReturnType<LiveOf>,
  isConnected: boolean,
  nowMs: number,
): Outlook {
  const own = pace?.round === round && pace.attempt === attempt ? pace : null;
  const finishAtMs = own === null ? null : finishOf(own);
  if (isConnected) {
    if (own === null) return { is: "quiet", text: "has not begun" };
    const silentMs = nowMs - own.movedAtMs;
    const isSilent = silentMs > Math.max(LEAST_SILENCE_MS, SILENCE_FACTOR * own.longestPauseMs);
    return isSilent
      ? { is: "silent", text: `silent for ${formatDurationMs(silentMs)}, ${described(own)}` }
      : { is: "moving", finishAtMs, text: [described(own), ...remaining(finishAtMs, nowMs)].join(", ") };
  }
  const awayMs = nowMs - Math.max(openedAtMs, lastSeenAtMs ?? openedAtMs);
  const text = `not connected for ${formatDurationMs(awayMs)}`;
  // Training goes on without the link: the silence counts from when it should have ended.
  const expectedMs = Math.max(0, nowMs - (finishAtMs ?? -Infinity));
  const isGone = awayMs > LEAST_SILENCE_MS && expectedMs > LEAST_SILENCE_MS;
  return isGone ? { is: "silent", text } : { is: "moving", finishAtMs, text };
}

/** At the pace so far. */
function finishOf({ began, done, total, movedAtMs }: Pace): number | null {
  const doneSince = done - began.done;
  if (doneSince <= 0 || total <= 0) return null;
  return movedAtMs + ((total - done) * (movedAtMs - began.atMs)) / doneSince;
}

const described = ({ phase, done, total }: Pace): string =>
  total > 0 ? `${phase} ${Math.floor((100 * done) / total)} %` : phase;

function remaining(finishAtMs: number | null, nowMs: number): string[] {
  return finishAtMs === null || finishAtMs <= nowMs
    ? []
    : [`about ${formatDurationMs(finishAtMs - nowMs)} left`];
}
