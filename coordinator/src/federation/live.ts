/** What sites last said of themselves. Advisory, in memory only. */
import type { SiteId } from "@consilium/shared/ids";
import type { Progress } from "@consilium/shared/protocol/events";
import type { HoldMessage } from "@consilium/shared/protocol/hold";

export interface LiveSite {
  readonly lastSeenAtMs: number | null;
  readonly phase: Progress["phase"];
  readonly done: number;
  readonly total: number;
  readonly loss: number | null;
  readonly examples: number | null;
  readonly hold: { readonly hold: HoldMessage; readonly saidAtMs: number } | null;
}

/** A site that waits says so three times in this time. */
const HOLD_LASTS_MS = 90_000;

const UNSEEN: LiveSite = {
  lastSeenAtMs: null,
  phase: "idle",
  done: 0,
  total: 0,
  loss: null,
  examples: null,
  hold: null,
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
}
