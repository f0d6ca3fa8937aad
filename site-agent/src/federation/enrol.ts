/** Joining: the site proves its key with a one-time token and pins the coordinator's keys and the signed plan. */
import { sign, verify, type Identity } from "@consilium/shared/crypto/identity";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import { enrolmentReplySchema } from "@consilium/shared/protocol/http";
import type { EnrolmentToken } from "@consilium/shared/protocol/token";
import { parsePlan } from "@consilium/shared/plan";
import type { Enrolment } from "../config.ts";
import { httpClient, type Fetch } from "./http.ts";

export interface EnrolOptions {
  readonly site: SiteId;
  readonly identity: Identity;
  readonly coordinatorUrl: string;
  readonly token: EnrolmentToken;
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
}

/**
 * @returns the signed request, for the record, and the call that sends it. `send` throws enrolment.token-unknown, -used,
 *   -expired, enrolment.site-taken; crypto.bad-signature if whoever answers does not hold the keys that the token names
 * @throws config.invalid if the token is another site's
 */
export function enrol({ site, identity, coordinatorUrl, token, fetch, signal }: EnrolOptions): {
  readonly request: string;
  readonly send: () => Promise<Enrolment>;
} {
  if (token.site !== site) {
    throw new ConsiliumError("config.invalid", {
      detail: `(the token invites the site ${token.site}, this home belongs to ${site})`,
      culprits: ["token"],
    });
  }
  const { federation, coordinator, secret } = token;
  const request = sign(
    "enrolment",
    { federation, site, identity: identity.public, tokenSecret: secret },
    identity,
  );
  const send = async (): Promise<Enrolment> => {
    const http = httpClient(coordinatorUrl, fetch);
    const reply = await http.post("api/enrolments", request, enrolmentReplySchema, { signal });
    const plan = parsePlan(verify("plan", reply.plan, coordinator));
    if (plan.federation !== federation || reply.site !== site) throw new ConsiliumError("plan.mismatch");
    return { coordinatorUrl, coordinator, plan: reply.plan };
  };
  return { request: JSON.stringify(request), send };
}
