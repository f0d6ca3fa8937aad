/** Who is calling: an operator (bearer or cookie) or a site with a session. */
import { ConsiliumError } from "@consilium/shared/errors";
import type { FastifyRequest } from "fastify";
import type { Operators } from "../governance/operator.ts";
import type { Session, Sessions } from "../governance/sessions.ts";

export class Access {
  readonly #operators: Operators;
  readonly #sessions: Sessions;

  constructor(operators: Operators, sessions: Sessions) {
    this.#operators = operators;
    this.#sessions = sessions;
  }

  isOperator(request: FastifyRequest): boolean {
    const cookie = request.cookies[this.#operators.cookieName];
    return this.#operators.isOperator(request.headers.authorization, cookie);
  }

  /** Null for a stranger; `site` is null for an operator. */
  callerOf(request: FastifyRequest): { readonly site: string | null } | null {
    const session = this.#sessions.authenticate(request.headers.authorization);
    if (session !== null) return { site: `${session.federation}/${session.site}` };
    return this.isOperator(request) ? { site: null } : null;
  }

  /** For `onRequest`. @throws auth.required */
  readonly operatorsOnly = (request: FastifyRequest): Promise<void> =>
    this.isOperator(request)
      ? Promise.resolve()
      : Promise.reject(
          new ConsiliumError("auth.required", {
            detail: "(open the address that `consilium-coordinator serve` printed)",
          }),
        );

  /** As siteOrOperator, for what is no affair of a site that waits for signatures. @throws roster.pending */
  memberOrOperator(request: FastifyRequest): Session | null {
    const session = this.siteOrOperator(request);
    if (session !== null) this.#sessions.assertMember(session);
    return session;
  }

  /** A site's session, or null for an operator. @throws auth.required */
  siteOrOperator(request: FastifyRequest): Session | null {
    const session = this.#sessions.authenticate(request.headers.authorization);
    if (session === null && !this.isOperator(request)) throw new ConsiliumError("auth.required");
    return session;
  }
}
