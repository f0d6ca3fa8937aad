/** What sites last said of themselves, and how fast they get on. Advisory, in memory only. */
import type { SiteId } from "@consilium/shared/ids";
import type { Progress } from "@consilium/shared/protocol/events";
import { HOLD_LASTS_MS, type HoldMessage } from "@consilium/shared/protocol/hold";

/** How a site got on with one phase of one attempt. */
export interface Pace {
  readonly round: number;
  readonly attempt: number;
  readonly phase: Progress["phase"];
  readonly done: number;
  readonly total: number;
  readonly began: { readonly atMs: number; readonly done: number };
  /** When a report last showed it further than the one before. */
  readonly movedAtMs: number;
  /** The longest that it took so far to get further. */
  readonly longestPauseMs: number;
}

export interface LiveSite {
  readonly lastSeenAtMs: number | null;
  readonly phase: Progress["phase"];
  readonly done: number;
  readonly total: number;
  readonly loss: number | null;
  readonly examples: number | null;
  readonly hold: { readonly hold: HoldMessage; readonly saidAtMs: number } | null;
  /** Of the newest attempt in which it reported something. */
  readonly pace: Pace | null;
}

const UNSEEN: LiveSite = {
  lastSeenAtMs: null,
  phase: "idle",
  done: 0,
  total: 0,
  loss: null,
  examples: null,
  hold: null,
  pace: null,
};

export class LiveSites {
  readonly #sites = new Map<SiteId, LiveSite>();

  get(site: SiteId): LiveSite {
    return this.#sites.get(site) ?? UNSEEN;
  }

  /** Null once the site has gone on, or fallen silent. */
  holdOf(site: SiteId, nowMs: number): HoldMessage | null {
    const { hold } = this.get(site);
    return hold === null || nowMs - hold.saidAtMs > HOLD_LASTS_MS ? null : hold.hold;
  }

  update(site: SiteId, change: Partial<LiveSite>): void {
    this.#sites.set(site, { ...this.get(site), ...change });
  }

  /** The clock has jumped: what was noted stands as long ago as before. */
  shift(byMs: number): void {
    for (const [site, { lastSeenAtMs, pace }] of this.#sites) {
      const shifted = pace && {
        ...pace,
        movedAtMs: pace.movedAtMs + byMs,
        began: { ...pace.began, atMs: pace.began.atMs + byMs },
      };
      this.update(site, { lastSeenAtMs: lastSeenAtMs === null ? null : lastSeenAtMs + byMs, pace: shifted });
    }
  }

  report(site: SiteId, progress: Progress, atMs: number): void {
    const { phase, done, total, loss } = progress;
    const pace = nextPace(this.get(site).pace, progress, atMs);
    this.update(site, { phase, done, total, loss, lastSeenAtMs: atMs, pace });
  }
}

export function nextPace(
  before: Pace | null,
  { round, attempt, phase, done, total }: Progress,
  atMs: number,
): Pace {
  const isSame = before?.round === round && before.attempt === attempt && before.phase === phase;
  if (!isSame) {
    const began = { atMs, done };
    return { round, attempt, phase, done, total, began, movedAtMs: atMs, longestPauseMs: 0 };
  }
  if (done <= before.done) return before;
  const longestPauseMs = Math.max(before.longestPauseMs, atMs - before.movedAtMs);
  return { ...before, done, total, movedAtMs: atMs, longestPauseMs };
}
