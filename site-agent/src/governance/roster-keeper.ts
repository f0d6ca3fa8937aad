/** Keeps the pinned roster up with the federation's, and says what has changed. */
import { verify } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import { rosterShownSchema, type RosterShown } from "@consilium/shared/protocol/governance";
import { sameKeys, type VersionedRoster } from "@consilium/shared/roster/roster";
import type { Http } from "../federation/http.ts";
import { bearer, type Membership } from "../federation/session.ts";
import type { Pins, RosterNews } from "./pins.ts";

export interface RosterPorts {
  readonly http: Pick<Http, "read">;
  readonly pins: Pins;
  /** Told when the pinned roster has changed: a person may want to compare fingerprints. */
  readonly onRoster: (news: RosterNews) => void;
}

export class RosterKeeper {
  readonly #ports: RosterPorts;
  readonly #membership: Membership;

  constructor(ports: RosterPorts, membership: Membership) {
    this.#ports = ports;
    this.#membership = membership;
  }

  /** What the coordinator shows; only signatures in it are to be believed. */
  shown(session: string): Promise<RosterShown> {
    const path = `api/federations/${this.#membership.federation}/roster`;
    return this.#ports.http.read(path, rosterShownSchema, { headers: bearer(session) });
  }

  /**
   * Pins a roster that the coordinator has signed for this federation.
   * @throws as Pins.accept, and if this site's own key is not on it
   */
  async accept(wanted: VersionedRoster, session: string): Promise<void> {
    const { site, identity, federation } = this.#membership;
    const own = wanted.members.find((member) => member.site === site);
    if (wanted.federation !== federation || own === undefined || !sameKeys(own.identity, identity.public)) {
      throw new ConsiliumError("secagg.roster-changed", { culprits: [site] });
    }
    const news = await this.#ports.pins.accept(wanted, async () => (await this.shown(session)).changes);
    const others = { ...news, added: news.added.filter((added) => added.site !== site) };
    if (others.added.length > 0 || others.removed.length > 0) this.#ports.onRoster(others);
  }

  /**
   * Takes over the newest roster. Null before the first round.
   * @throws as accept; crypto.bad-signature
   */
  async follow(session: string): Promise<VersionedRoster | null> {
    const { newest } = await this.shown(session);
    if (newest === null) return null;
    const wanted = verify("roster-version", newest, this.#membership.coordinator);
    await this.accept(wanted, session);
    return wanted;
  }

  /** For rounds without masks, whose messages name sites alone. @throws as follow; secagg.roster-changed */
  async assertKnown(cohort: readonly SiteId[], session: string): Promise<void> {
    const pinned = await this.#ports.pins.read(this.#membership.federation);
    const known = (roster: VersionedRoster | null): Set<string> =>
      new Set(roster?.members.map(({ site }) => site));
    if (cohort.every((site) => known(pinned).has(site))) return;
    const members = known(await this.follow(session));
    const strangers = cohort.filter((site) => !members.has(site));
    if (strangers.length > 0) throw new ConsiliumError("secagg.roster-changed", { culprits: strangers });
  }
}
