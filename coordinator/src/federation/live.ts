/** What sites last said of themselves. Advisory, in memory only. */
import type { SiteId } from "@consilium/shared/ids";
import type { Progress } from "@consilium/shared/protocol/events";

export interface LiveSite {
  readonly lastSeenAtMs: number | null;
  readonly phase: Progress["phase"];
  readonly done: number;
  readonly total: number;
  readonly loss: number | null;
  readonly examples: number | null;
}

const UNSEEN: LiveSite = { lastSeenAtMs: null, phase: "idle", done: 0, total: 0, loss: null, examples: null };

export class LiveSites {
  readonly #sites = new Map<SiteId, LiveSite>();

  get(site: SiteId): LiveSite {
    return this.#sites.get(site) ?? UNSEEN;
  }

  update(site: SiteId, change: Partial<LiveSite>): void {
    this.#sites.set(site, { ...this.get(site), ...change });
  }
}
