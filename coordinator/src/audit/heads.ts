/**
 * The audit log's heads: the coordinator signs one when a round is over, and each site countersigns it once it has seen that
 * the log has only grown. All of that is in the log itself, so that it can be checked without the coordinator.
 */
import { linkOf, type AuditLine } from "@consilium/shared/audit/chain";
import { sign, verify, type Identity } from "@consilium/shared/crypto/identity";
import { signedSchema, type PublicIdentity, type Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId } from "@consilium/shared/ids";
import {
  auditHeadSchema,
  type AuditHead,
  type AuditShown,
  type Countersignature,
} from "@consilium/shared/protocol/governance";
import type { Clock } from "../clock.ts";
import type { Store } from "../store/store.ts";
import { auditEvent } from "./events.ts";

export const HEAD_EVENT = "audit.signed";
export const COUNTERSIGNATURE_EVENT = "audit.countersigned";

/** An answer stays far below a megabyte; whoever was away longer asks again. */
const MAX_LINKS = 2_000;

export interface AuditHeadsPorts {
  readonly store: Store;
  readonly identity: Identity;
  readonly clock: Clock;
}

export class AuditHeads {
  readonly #ports: AuditHeadsPorts;
  readonly #federation: FederationId;
  #newest: Signed<AuditHead> | null = null;
  /** Who has countersigned the newest head. */
  readonly #countersigners = new Set<string>();

  private constructor(ports: AuditHeadsPorts, federation: FederationId) {
    this.#ports = ports;
    this.#federation = federation;
  }

  static async open(ports: AuditHeadsPorts, federation: FederationId): Promise<AuditHeads> {
    const heads = new AuditHeads(ports, federation);
    const [line] = await ports.store.newestAudit(federation, HEAD_EVENT, 1);
    if (line === undefined) return heads;
    heads.#newest = signedSchema(auditHeadSchema).parse(line.data);
    for (const { site } of await heads.#countersignatures()) heads.#countersigners.add(site);
    return heads;
  }

  get newest(): Signed<AuditHead> | null {
    return this.#newest;
  }

  get countersigners(): readonly string[] {
    return [...this.#countersigners].sort();
  }

  /** Signs what the log is now, once for a round. */
  async signAfter(round: number): Promise<void> {
    if (round === 0 || (this.#newest !== null && this.#newest.body.round >= round)) return;
    const { store, identity, clock } = this.#ports;
    const federation = this.#federation;
    const last = await store.addAudit(auditEvent(federation, "audit.closed", { round }, clock.now()));
    const head = sign("audit-head", { federation, round, seq: last.seq, hash: last.hash }, identity);
    await store.addAudit(
      auditEvent(federation, HEAD_EVENT, { ...head, body: { ...head.body } }, clock.now()),
    );
    this.#newest = head;
    this.#countersigners.clear();
  }

  /** @param after the line that the site knows; null for none: then it takes the head as it is */
  async shown(after: number | null): Promise<AuditShown> {
    const head = this.#newest;
    if (head === null || after === null) return { head, links: [] };
    const { seq } = head.body;
    const lines = after >= seq ? [] : await this.#ports.store.auditAfter(after, MAX_LINKS);
    const wanted = (line: AuditLine): boolean => line.seq <= seq;
    return { head, links: lines.filter(wanted).map(linkOf) };
  }

  /**
   * Puts a site's signature under the newest head on record, once.
   * @throws audit.bad-countersignature if it is under anything else, or not this site's
   */
  async countersign(
    signed: Signed<Countersignature>,
    signer: { readonly site: string; readonly identity: PublicIdentity },
  ): Promise<void> {
    const { site, identity } = signer;
    const { body } = signed;
    const head = this.#newest?.body;
    const same = head?.seq === body.seq && head.hash === body.hash && head.round === body.round;
    // A head that was replaced meanwhile needs no signature any more: the site signs the next one.
    if (head !== undefined && body.seq < head.seq && body.site === site) return;
    if (!same || body.site !== site || body.federation !== this.#federation) {
      throw new ConsiliumError("audit.bad-countersignature", { culprits: [site] });
    }
    try {
      verify("audit-countersignature", signed, identity);
    } catch (cause) {
      throw new ConsiliumError("audit.bad-countersignature", { culprits: [site], cause });
    }
    if (this.#countersigners.has(site)) return;
    const { store, clock } = this.#ports;
    const data = { ...signed, body: { ...body } };
    await store.addAudit(auditEvent(this.#federation, COUNTERSIGNATURE_EVENT, data, clock.now()));
    this.#countersigners.add(site);
  }

  /** Under the newest head. */
  async #countersignatures(): Promise<readonly Countersignature[]> {
    const lines = await this.#ports.store.newestAudit(this.#federation, COUNTERSIGNATURE_EVENT, 10_000);
    return lines
      .map(({ data }) => data["body"] as unknown as Countersignature)
      .filter(({ seq }) => seq === this.#newest?.body.seq);
  }
}
