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
import { recorder, type RecordPorts } from "./recorded.ts";

export interface SessionPorts extends RecordPorts {
  readonly http: Http;
  readonly random: RandomBytes;
}

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
  ports: SessionPorts,
  { federation, site, identity, coordinator }: Membership,
  signal?: AbortSignal,
): Promise<string> {
  const { http, random } = ports;
  const options = signal === undefined ? {} : { signal };
  const asked = { federation, site };
  const { challenge } = await http.post("api/challenges", asked, challengeReplySchema, options);
  const siteNonce = toBase64Url(random(32));
  const request = sign("session", { federation, site, challenge, siteNonce }, identity);
  const record = recorder(ports, federation);
  const { session, proof } = await record({ kind: "session" }, JSON.stringify(request), () =>
    http.post("api/sessions", request, sessionReplySchema, options),
  );
  const proven = verify("coordinator-proof", proof, coordinator);
  if (proven.federation !== federation || proven.site !== site || proven.siteNonce !== siteNonce) {
    throw new ConsiliumError("crypto.bad-signature", { culprits: ["coordinator-proof"] });
  }
  return session;
}

export const bearer = (session: string): { authorization: string } => ({
  authorization: `Bearer ${session}`,
});
