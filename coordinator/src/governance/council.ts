/**
 * What sites decide together in one federation: who joins it once it has begun, and what they countersign of its log. One
 * thing at a time, each on record before it holds.
 */
import type { Signed } from "@consilium/shared/crypto/signed";
import { sign } from "@consilium/shared/crypto/identity";
import { printOf } from "@consilium/shared/crypto/words";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type {
  AuditShown,
  Countersignature,
  endorsementReplySchema,
  RosterShown,
} from "@consilium/shared/protocol/governance";
import { assertEndorsement, type SignedEndorsement } from "@consilium/shared/roster/roster";
import type { z } from "zod";
import { auditEvent } from "../audit/events.ts";
import { AuditHeads, type AuditHeadsPorts } from "../audit/heads.ts";
import { Serial } from "../federation/serial.ts";
import type { FederationService } from "../federation/service.ts";
import type { SiteRow } from "../store/store.ts";

export interface CouncilPorts extends AuditHeadsPorts {
  /** Brings the audit file up to the store. */
  readonly followAudit: () => Promise<void>;
  /** Told of what went wrong in the background. */
  readonly onTrouble: (error: unknown) => void;
}

export class Council {
  readonly #ports: CouncilPorts;
  readonly #service: FederationService;
  readonly #heads: AuditHeads;
  readonly #turns = new Serial();
  readonly #unsubscribe: () => void;

  private constructor(ports: CouncilPorts, service: FederationService, heads: AuditHeads) {
    this.#ports = ports;
    this.#service = service;
    this.#heads = heads;
    this.#unsubscribe = service.subscribe(({ facts }) => {
      const opened = facts.some(({ fact }) => fact === "round.opened");
      const over = facts.some(({ fact }) => fact === "round.aggregated" || fact === "federation.finished");
      if (opened || over) this.#inBackground(() => this.#catchUp());
    });
  }

  static async open(ports: CouncilPorts, service: FederationService): Promise<Council> {
    const heads = await AuditHeads.open(ports, service.federation);
    const council = new Council(ports, service, heads);
    await council.#turns.run(async () => {
      await council.#catchUp();
      for (const { site } of service.book.candidates) await council.#addIfEndorsed(site);
    });
    return council;
  }

  /** A new row: a member while the federation has not begun, and then one that waits for signatures. */
  enrolled(row: SiteRow): Promise<void> {
    return this.#turns.run(async () => {
      await this.#service.book.read();
      await this.#service.enrolled(row);
    });
  }

  async shownRoster(): Promise<RosterShown> {
    return this.#turns.run(() => {
      const { book } = this.#service;
      const { newest, changes, candidates, needed } = book;
      const signed = newest === null ? null : sign("roster-version", { ...newest }, this.#ports.identity);
      return Promise.resolve({ newest: signed, changes, candidates, needed });
    });
  }

  /**
   * Keeps a member's signature for a candidate; with enough of them the candidate is on the roster.
   * @throws auth.failed, roster.no-candidate, roster.not-endorsed, crypto.bad-signature
   */
  async endorse(
    endorser: SiteId,
    signed: SignedEndorsement,
  ): Promise<z.infer<typeof endorsementReplySchema>> {
    return this.#turns.run(async () => {
      const { book, federation } = this.#service;
      const { body } = signed;
      if (body.endorser !== endorser) throw new ConsiliumError("auth.failed", { culprits: [endorser] });
      const candidate = book.candidates.find(({ site }) => site === body.site);
      if (candidate === undefined || book.newest === null) {
        throw new ConsiliumError("roster.no-candidate", { culprits: [body.site] });
      }
      assertEndorsement(book.newest, candidate, signed);
      const { needed } = book;
      const data = { site: body.site, endorser, version: body.version, signature: signed.signature };
      await this.#ports.store.endorse(federation, signed, this.#event("site.endorsed", data));
      await book.read();
      const endorsements = book.endorsementsOf(body.site).length;
      const added = await this.#addIfEndorsed(body.site);
      await this.#ports.followAudit();
      return { site: body.site, endorsements, needed, added };
    });
  }

  /** The operator takes a site off. @throws site.unknown */
  async remove(site: SiteId): Promise<{ readonly site: SiteId; readonly version: number | null }> {
    return this.#turns.run(async () => {
      const { book, federation } = this.#service;
      const row = this.#service.siteRow(site);
      const isMember = book.newest !== null && book.isMember(row);
      const version = isMember ? book.newest.version + 1 : null;
      const { fingerprint } = printOf(row.identity);
      const event = this.#event("site.removed", { site, fingerprint, version });
      const atMs = this.#ports.clock.now();
      await (version === null
        ? this.#ports.store.removeSite(federation, site, atMs, event)
        : this.#ports.store.changeRoster(federation, { change: "removed", version, site }, atMs, [event]));
      await book.read();
      await this.#service.removed(site);
      await this.#ports.followAudit();
      return { site, version };
    });
  }

  shownAudit(after: number | null): Promise<AuditShown> {
    return this.#turns.run(() => this.#heads.shown(after));
  }

  /** @throws audit.bad-countersignature */
  async countersign(site: SiteId, signed: Signed<Countersignature>): Promise<void> {
    await this.#turns.run(async () => {
      await this.#heads.countersign(signed, this.#service.siteRow(site));
      await this.#ports.followAudit();
    });
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await this.#turns.close();
  }

  /** The first roster is made with the first round, and a head is signed with each that is over. */
  async #catchUp(): Promise<void> {
    if (this.#service.book.newest === null) await this.#service.book.read();
    await this.#heads.signAfter(this.#service.lastRoundOver);
    await this.#ports.followAudit();
  }

  async #addIfEndorsed(site: SiteId): Promise<boolean> {
    const { book, federation } = this.#service;
    const candidate = book.candidates.find((other) => other.site === site);
    const { newest } = book;
    const endorsements = book.endorsementsOf(site);
    if (candidate === undefined || newest === null || endorsements.length < book.needed) return false;
    const version = newest.version + 1;
    const { identity } = candidate;
    const event = this.#event("site.added", {
      site,
      version,
      fingerprint: printOf(identity).fingerprint,
      endorsers: candidate.endorsers,
    });
    await this.#ports.store.changeRoster(
      federation,
      { change: "added", version, site, identity, endorsements },
      this.#ports.clock.now(),
      [event],
    );
    await book.read();
    await this.#service.enrolled(this.#service.siteRow(site));
    return true;
  }

  #event(event: string, data: Parameters<typeof auditEvent>[2]) {
    return auditEvent(this.#service.federation, event, data, this.#ports.clock.now());
  }

  #inBackground(work: () => Promise<void>): void {
    this.#turns.run(work).catch((error: unknown) => {
      this.#ports.onTrouble(error);
    });
  }
}
