/**
 * Sessions: a site signs a challenge, gets a bearer for its sockets and downloads, and the coordinator's signature in
 * return. In memory only; after a restart sites prove themselves again.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { sign, verify, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { sha256 } from "@consilium/shared/canonical";
import type { PublicIdentity, Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { sessionReplySchema, sessionRequestSchema } from "@consilium/shared/protocol/http";
import { sameKeys } from "@consilium/shared/roster/roster";
import type { z } from "zod";
import type { Clock } from "../clock.ts";
import type { Federations } from "../federation/registry.ts";
import type { FederationService } from "../federation/service.ts";

const CHALLENGE_MS = 60_000;
const SESSION_MS = 12 * 3600_000;
/** More than a site needs for its sockets and a few restarts. */
const MAX_SESSIONS_PER_SITE = 16;

type SessionRequest = Signed<z.infer<typeof sessionRequestSchema>>;

export interface Session {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly expiresAtMs: number;
}

export interface SessionPorts {
  readonly federations: Federations;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: RandomBytes;
}

export class Sessions {
  readonly #ports: SessionPorts;
  readonly #challengeKey: Uint8Array;
  /** Challenges that opened a session, until they expire: only a site's key can put one here. */
  readonly #spent = new Map<string, number>();
  /** By the hash of the bearer, so that a memory dump's index opens nothing. */
  readonly #sessions = new Map<Sha256, Session & { readonly identity: PublicIdentity }>();

  constructor(ports: SessionPorts) {
    this.#ports = ports;
    this.#challengeKey = ports.random(32);
  }

  /**
   * Given to whoever asks, so nothing is kept of it: 6 bytes of time, 10 of chance, 16 of a MAC over both and the site.
   * Does not say whether the site exists.
   * @throws federation.unknown
   */
  challenge(federation: FederationId, site: SiteId): string {
    const { federations, clock, random } = this.#ports;
    federations.get(federation);
    const stamp = Buffer.alloc(16);
    stamp.writeUIntBE(clock.now(), 0, 6);
    stamp.set(random(10), 6);
    return toBase64Url(Buffer.concat([stamp, this.#mac(stamp, federation, site)]));
  }

  /** Uses up the challenge. @throws federation.unknown, auth.required (for an old challenge), auth.failed */
  open(request: SessionRequest): z.infer<typeof sessionReplySchema> {
    const { federations, identity, clock, random } = this.#ports;
    const { federation, site, challenge, siteNonce } = request.body;
    const service = federations.get(federation);
    if (!this.#isFresh(challenge, federation, site)) {
      // Nobody's fault: another coordinator, or this one before a restart, gave it.
      throw new ConsiliumError("auth.required", { detail: "(unknown or old challenge)", culprits: [site] });
    }
    const own = identityOf(service, request);
    this.#spend(challenge);
    this.#makeRoom(federation, site);
    const session = toBase64Url(Buffer.concat([random(SECRET_BYTES), tagOf(federation)]));
    const expiresAtMs = clock.now() + SESSION_MS;
    this.#sessions.set(sha256(session), { federation, site, expiresAtMs, identity: own });
    return { session, proof: sign("coordinator-proof", { federation, site, siteNonce }, identity) };
  }

  /**
   * The session of an `authorization` header; null if there is none that is valid. One ends with its time, and when its site
   * is removed or has another key.
   */
  authenticate(authorization: string | undefined): Session | null {
    const { clock, federations } = this.#ports;
    const bearer = bearerOf(authorization);
    if (bearer === null) return null;
    const session = this.#sessions.get(sha256(bearer));
    if (session === undefined || clock.now() > session.expiresAtMs) return null;
    if (!federations.has(session.federation)) return session;
    const { enrolled } = federations.get(session.federation).book;
    const isEnrolled = enrolled.some(
      (row) => row.site === session.site && sameKeys(row.identity, session.identity),
    );
    return isEnrolled ? session : null;
  }

  /** @throws roster.pending for a site that waits for signatures */
  assertMember({ federation, site }: Session): void {
    this.#ports.federations.get(federation).book.assertMember(site);
  }

  #isFresh(challenge: string, federation: FederationId, site: SiteId): boolean {
    const bytes = Buffer.from(challenge, "base64url");
    const stamp = bytes.subarray(0, 16);
    const ageMs = this.#ports.clock.now() - stamp.readUIntBE(0, 6);
    return (
      timingSafeEqual(bytes.subarray(16), this.#mac(stamp, federation, site)) &&
      ageMs >= 0 &&
      ageMs <= CHALLENGE_MS &&
      !this.#spent.has(challenge)
    );
  }

  #mac(stamp: Uint8Array, federation: FederationId, site: SiteId): Buffer {
    const mac = createHmac("sha256", this.#challengeKey).update(stamp).update(`${federation}/${site}`);
    return mac.digest().subarray(0, 16);
  }

  #spend(challenge: string): void {
    const nowMs = this.#ports.clock.now();
    for (const [spent, atMs] of this.#spent) if (nowMs - atMs > CHALLENGE_MS) this.#spent.delete(spent);
    this.#spent.set(challenge, nowMs);
  }

  #makeRoom(federation: FederationId, site: SiteId): void {
    const nowMs = this.#ports.clock.now();
    const own: Sha256[] = [];
    for (const [hash, session] of this.#sessions) {
      if (session.expiresAtMs < nowMs) this.#sessions.delete(hash);
      else if (session.federation === federation && session.site === site) own.push(hash);
    }
    for (const hash of own.slice(0, Math.max(0, own.length - MAX_SESSIONS_PER_SITE + 1))) {
      this.#sessions.delete(hash);
    }
  }
}

/** Of the site that signed. @throws auth.failed, also for a site that does not exist */
function identityOf(service: FederationService, request: SessionRequest): PublicIdentity {
  const { site } = request.body;
  try {
    const { identity } = service.siteRow(site);
    verify("session", request, identity);
    return identity;
  } catch (cause) {
    throw new ConsiliumError("auth.failed", { culprits: [site], cause });
  }
}

/**
 * A session ends with a tag of its federation, so that a coordinator which does not run it knows who does. The rest is the
 * secret.
 */
const SECRET_BYTES = 24;
const TAG_BYTES = 8;

const tagOf = (federation: string): Buffer => Buffer.from(sha256(federation), "hex").subarray(0, TAG_BYTES);

/** Which of these federations an `authorization` header's session is for, valid or not. */
export function federationOf<Name extends string>(
  authorization: string | undefined,
  federations: readonly Name[],
): Name | undefined {
  const bytes = Buffer.from(bearerOf(authorization) ?? "", "base64url");
  if (bytes.length !== SECRET_BYTES + TAG_BYTES) return undefined;
  const tag = bytes.subarray(SECRET_BYTES);
  return federations.find((federation) => tagOf(federation).equals(tag));
}

/** The credential of `Bearer CREDENTIAL`. */
export function bearerOf(authorization: string | undefined): string | null {
  return /^Bearer ([\w-]{1,200})$/.exec(authorization ?? "")?.[1] ?? null;
}
