/**
 * Who may run the coordinator: whoever holds the operator token of its home folder, as a bearer (command line) or as a
 * cookie that was set by opening the printed address once (browser).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { sha256 } from "@consilium/shared/canonical";
import { bearerOf } from "./sessions.ts";

export class Operators {
  readonly #token: string;
  /** Cookies know no ports, so each coordinator has its own name. */
  readonly cookieName: string;
  /** Derived, so that the cookie never is the token itself. */
  readonly cookieValue: string;

  constructor(token: string) {
    this.#token = token;
    this.cookieName = `consilium-${sha256("cookie name", token).slice(0, 8)}`;
    this.cookieValue = createHmac("sha256", token).update("consilium/1 operator cookie").digest("base64url");
  }

  isToken(candidate: string): boolean {
    return sameText(candidate, this.#token);
  }

  isOperator(authorization: string | undefined, cookie: string | undefined): boolean {
    const bearer = bearerOf(authorization);
    if (bearer !== null) return this.isToken(bearer);
    return cookie !== undefined && sameText(cookie, this.cookieValue);
  }
}

/** In constant time. */
function sameText(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(sha256(a)), Buffer.from(sha256(b)));
}
