/**
 * Mutual proof before anything else: the site signs the coordinator's challenge, the coordinator signs the site's nonce
 * with the key that was pinned at enrolment. The session that comes out authorises both sockets and downloads.
 */
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { sign, verify, type Identity, type RandomBytes } from "@consilium/shared/crypto/identity";
import type { PublicIdentity } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, SiteId } from "@consilium/shared/ids";
import { challengeReplySchema, sessionReplySchema } from "@consilium/shared/protocol/http";
import type { Http } from "./http.ts";

/** Who we are, and whom we believe. */
export interface Membership {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly identity: Identity;
  /** Pinned at enrolment. */
  readonly coordinator: PublicIdentity;
}

/**
 * @returns the session's secret, for `authorization: Bearer`
 * @throws crypto.bad-signature if whoever answers does not hold the pinned key; auth.failed, site.unknown,
 *   federation.unknown, coordinator.unreachable
 */
export async function openSession(
  http: Http,
  { federation, site, identity, coordinator }: Membership,
  random: RandomBytes,
  signal?: AbortSignal,
): Promise<string> {
  const { challenge } = await http.post("api/challenges", { federation, site }, challengeReplySchema, signal);
  const siteNonce = toBase64Url(random(32));
  const request = sign("session", { federation, site, challenge, siteNonce }, identity);
  const { session, proof } = await http.post("api/sessions", request, sessionReplySchema, signal);
  const proven = verify("coordinator-proof", proof, coordinator);
  if (proven.federation !== federation || proven.site !== site || proven.siteNonce !== siteNonce) {
    throw new ConsiliumError("crypto.bad-signature", { culprits: ["coordinator-proof"] });
  }
  return session;
}

export const bearer = (session: string): { authorization: string } => ({
  authorization: `Bearer ${session}`,
});
