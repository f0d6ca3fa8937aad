/**
 * Sessions: a site signs a challenge, gets a bearer for its sockets and downloads, and the coordinator's signature in
 * return. In memory only; after a restart sites prove themselves again.
 */
import { sign, verify, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { sha256 } from "@consilium/shared/canonical";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { sessionReplySchema, sessionRequestSchema } from "@consilium/shared/protocol/http";
import type { z } from "zod";
import type { Clock } from "../clock.ts";
import type { Federations } from "../federation/registry.ts";

const CHALLENGE_MS = 60_000;
const SESSION_MS = 12 * 3600_000;
/** Challenges are given to whoever asks; beyond this many the oldest make room. */
const MAX_CHALLENGES = 10_000;
/** More than a site needs for its sockets and a few restarts. */
const MAX_SESSIONS_PER_SITE = 16;

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
  /** Insertion order is age. */
  readonly #challenges = new Map<string, { readonly owner: string; readonly expiresAtMs: number }>();
  /** By the hash of the bearer, so that a memory dump's index opens nothing. */
  readonly #sessions = new Map<Sha256, Session>();

  constructor(ports: SessionPorts) {
    this.#ports = ports;
  }

  /** Does not say whether the site exists. @throws federation.unknown */
  challenge(federation: FederationId, site: SiteId): string {
    const { federations, clock, random } = this.#ports;
    federations.get(federation);
    const [oldest] = this.#challenges.keys();
    if (this.#challenges.size >= MAX_CHALLENGES && oldest !== undefined) this.#challenges.delete(oldest);
    const challenge = toBase64Url(random(32));
    this.#challenges.set(challenge, {
      owner: `${federation}/${site}`,
      expiresAtMs: clock.now() + CHALLENGE_MS,
    });
    return challenge;
  }

  /** Uses up the challenge. @throws federation.unknown, auth.failed */
  open(request: Signed<z.infer<typeof sessionRequestSchema>>): z.infer<typeof sessionReplySchema> {
    const { federations, identity, clock, random } = this.#ports;
    const { federation, site, challenge, siteNonce } = request.body;
    const service = federations.get(federation);
    const pending = this.#challenges.get(challenge);
    this.#challenges.delete(challenge);
    if (pending?.owner !== `${federation}/${site}` || clock.now() > pending.expiresAtMs) {
      throw new ConsiliumError("auth.failed", { detail: "(unknown or old challenge)", culprits: [site] });
    }
    try {
      verify("session", request, service.siteRow(site).identity);
    } catch (cause) {
      throw new ConsiliumError("auth.failed", { culprits: [site], cause });
    }
    this.#makeRoom(federation, site);
    const session = toBase64Url(random(32));
    const expiresAtMs = clock.now() + SESSION_MS;
    this.#sessions.set(sha256(session), { federation, site, expiresAtMs });
    return { session, proof: sign("coordinator-proof", { federation, site, siteNonce }, identity) };
  }

  /** The session of an `authorization` header; null if there is none that is valid. */
  authenticate(authorization: string | undefined): Session | null {
    const bearer = bearerOf(authorization);
    if (bearer === null) return null;
    const session = this.#sessions.get(sha256(bearer));
    return session !== undefined && this.#ports.clock.now() <= session.expiresAtMs ? session : null;
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

/** The credential of `Bearer CREDENTIAL`. */
export function bearerOf(authorization: string | undefined): string | null {
  return /^Bearer ([\w-]{1,200})$/.exec(authorization ?? "")?.[1] ?? null;
}
