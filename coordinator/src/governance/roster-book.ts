/**
 * The roster's versions at the coordinator, in memory: who is a member, who waits for signatures, who was removed. It only
 * reads; council.ts writes.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, SiteId } from "@consilium/shared/ids";
import type { Candidate } from "@consilium/shared/protocol/governance";
import {
  applyChange,
  endorsementsNeeded,
  followChanges,
  sameKeys,
  type RosterChange,
  type SignedEndorsement,
  type VersionedRoster,
} from "@consilium/shared/roster/roster";
import type { SiteRow, Store } from "../store/store.ts";

export class RosterBook {
  readonly #store: Store;
  readonly #federation: FederationId;
  #rows: readonly SiteRow[] = [];
  #changes: readonly RosterChange[] = [];
  #endorsements: readonly SignedEndorsement[] = [];
  #newest: VersionedRoster | null = null;

  private constructor(store: Store, federation: FederationId) {
    this.#store = store;
    this.#federation = federation;
  }

  static async open(store: Store, federation: FederationId): Promise<RosterBook> {
    const book = new RosterBook(store, federation);
    await book.read();
    return book;
  }

  /** What the store says now. */
  async read(): Promise<void> {
    const federation = this.#federation;
    this.#rows = (await this.#store.sites(federation)).filter(({ removedAtMs }) => removedAtMs === null);
    this.#changes = await this.#store.rosterChanges(federation);
    this.#endorsements = await this.#store.endorsements(federation);
    const [first] = this.#changes;
    this.#newest =
      first?.change === "formed"
        ? followChanges({ federation, version: 1, members: first.members }, this.#changes, Infinity)
        : null;
  }

  get changes(): readonly RosterChange[] {
    return this.#changes;
  }

  /** Null until the first round opens. */
  get newest(): VersionedRoster | null {
    return this.#newest;
  }

  /** Enrolled and not removed: members, and those who wait to be. */
  get enrolled(): readonly SiteRow[] {
    return this.#rows;
  }

  /** Those who may take part. */
  get members(): readonly SiteRow[] {
    return this.#rows.filter((row) => this.isMember(row));
  }

  isMember({ site, identity }: Pick<SiteRow, "site" | "identity">): boolean {
    if (this.#newest === null) return true;
    const member = this.#newest.members.find((other) => other.site === site);
    return member !== undefined && sameKeys(member.identity, identity);
  }

  /** @throws site.unknown, roster.pending for one that waits for signatures */
  assertMember(site: SiteId): void {
    if (!this.isMember(this.row(site))) throw new ConsiliumError("roster.pending", { culprits: [site] });
  }

  get candidates(): readonly Candidate[] {
    return this.#rows
      .filter((row) => !this.isMember(row))
      .map(({ site, identity }) => ({
        site,
        identity,
        endorsers: this.endorsementsOf(site).map(({ body }) => body.endorser),
      }));
  }

  /** Signatures that a candidate needs; 0 while nobody needs any. */
  get needed(): number {
    return this.#newest === null ? 0 : endorsementsNeeded(this.#newest.members.length);
  }

  endorsementsOf(site: SiteId): readonly SignedEndorsement[] {
    return this.#endorsements.filter(({ body }) => body.site === site);
  }

  /** Of a member, or of a site that waits to be one. @throws site.unknown */
  row(site: SiteId): SiteRow {
    const row = this.#rows.find((enrolled) => enrolled.site === site);
    if (row === undefined) throw new ConsiliumError("site.unknown", { culprits: [site] });
    return row;
  }

  /** The newest version with exactly these sites: what an attempt was opened with, whatever has changed since. */
  rosterOf(sites: readonly SiteId[]): VersionedRoster {
    const federation = this.#federation;
    const names = [...sites].sort().join();
    let at: VersionedRoster = { federation, version: 0, members: [] };
    let found: VersionedRoster | null = null;
    for (const change of this.#changes) {
      at =
        change.change === "formed"
          ? { federation, version: 1, members: change.members }
          : applyChange(at, change);
      const here = at.members.map(({ site }) => site).sort();
      if (here.join() === names) found = at;
    }
    // The first one is on disk a moment before it is in memory.
    return (
      found ?? {
        federation,
        version: 1,
        members: sites.map((site) => ({ site, identity: this.row(site).identity })),
      }
    );
  }
}
