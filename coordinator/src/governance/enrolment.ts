/** Invitations and enrolment: how a hospital gets onto the roster, once, with a key that it has proved to hold. */
import { fingerprint, verify, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { PublicIdentity, Signed } from "@consilium/shared/crypto/signed";
import { sha256 } from "@consilium/shared/canonical";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type { EnrolmentReply, EnrolmentRequest } from "@consilium/shared/protocol/http";
import { formatToken } from "@consilium/shared/protocol/token";
import { auditEvent } from "../audit/events.ts";
import type { Clock } from "../clock.ts";
import type { Federations } from "../federation/registry.ts";
import type { FederationService } from "../federation/service.ts";
import type { Store } from "../store/store.ts";
import type { Council } from "./council.ts";

export interface EnrolmentPorts {
  readonly store: Store;
  readonly federations: Federations;
  readonly councils: ReadonlyMap<string, Pick<Council, "enrolled">>;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Brings the audit file up to the store. */
  readonly followAudit: () => Promise<void>;
}

export interface Invitation {
  readonly token: string;
  readonly site: SiteId;
  readonly expiresAtMs: number;
}

export class Enrolment {
  readonly #ports: EnrolmentPorts;

  constructor(ports: EnrolmentPorts) {
    this.#ports = ports;
  }

  /** A token for one site and one use. @throws federation.unknown */
  async invite(federation: string, site: SiteId, validForMs: number): Promise<Invitation> {
    const { store, federations, identity, clock, random } = this.#ports;
    const service = federations.get(federation);
    const secret = toBase64Url(random(32));
    const nowMs = clock.now();
    const expiresAtMs = nowMs + validForMs;
    await store.createInvitation(
      { secretHash: sha256(secret), federation: service.federation, site, expiresAtMs, usedAtMs: null },
      auditEvent(service.federation, "site.invited", { site, expiresAtMs }, nowMs),
    );
    await this.#ports.followAudit();
    const token = formatToken({
      federation: service.federation,
      site,
      coordinator: identity.public,
      secret,
    });
    return { token, site, expiresAtMs };
  }

  /**
   * The same key may repeat its enrolment, so that a lost answer costs nothing.
   * @throws federation.unknown, crypto.bad-signature, enrolment.token-unknown, enrolment.token-used,
   * enrolment.token-expired, enrolment.site-taken
   */
  async enrol(request: Signed<EnrolmentRequest>): Promise<EnrolmentReply> {
    const { store, federations, councils, clock } = this.#ports;
    const { federation, site, identity, tokenSecret } = request.body;
    const service = federations.get(federation);
    verify("enrolment", request, identity);

    const secretHash = sha256(tokenSecret);
    const invitation = await store.invitation(secretHash);
    if (invitation?.federation !== federation || invitation.site !== site) {
      throw new ConsiliumError("enrolment.token-unknown", { culprits: [site] });
    }
    const row = (await store.sites(federation)).find((known) => known.site === site);
    const present = row?.removedAtMs === null ? row : undefined;
    if (invitation.usedAtMs !== null) {
      if (present !== undefined && sameKeys(present.identity, identity)) return this.#reply(service, site);
      throw new ConsiliumError("enrolment.token-used", { culprits: [site] });
    }
    if (present !== undefined && !sameKeys(present.identity, identity)) {
      throw new ConsiliumError("enrolment.site-taken", { culprits: [site] });
    }
    const nowMs = clock.now();
    if (nowMs > invitation.expiresAtMs) {
      throw new ConsiliumError("enrolment.token-expired", { culprits: [site] });
    }
    if (present !== undefined) return this.#reply(service, site);

    const added = { federation, site, identity, enrolledAtMs: nowMs, removedAtMs: null };
    const data = { site, fingerprint: fingerprint(identity), identity: { ...identity } };
    await store.enrol(added, secretHash, auditEvent(federation, "site.enrolled", data, nowMs));
    await councils.get(federation)?.enrolled(added);
    await this.#ports.followAudit();
    return this.#reply(service, site);
  }

  #reply(service: FederationService, site: SiteId): EnrolmentReply {
    return {
      federation: service.federation,
      site,
      coordinator: this.#ports.identity.public,
      plan: service.plan,
    };
  }
}

const sameKeys = (a: PublicIdentity, b: PublicIdentity): boolean =>
  a.signingKey === b.signingKey && a.sealingKey === b.sealingKey;
