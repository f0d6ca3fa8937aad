/**
 * Why the coordinator is not reached, in closed texts of our own: libraries quote addresses and header values in their
 * messages, so that only their codes and statuses are read.
 */
import { ConsiliumError } from "@consilium/shared/errors";
import { unreachable } from "./remote-error.ts";

type Text = readonly [direct: string, throughProxy: string];

/** By codes of Node (DNS, sockets) and of undici. */
const REASONS: readonly (readonly [RegExp, Text])[] = [
  [/^ENOTFOUND$/, ["(its name is not found)", "(the proxy's name is not found)"]],
  [
    /^EAI_/,
    ["(the name service does not answer)", "(the name service does not answer, when asked for the proxy)"],
  ],
  [/^ECONNREFUSED$/, ["(nothing listens at its port)", "(nothing listens at the proxy's port)"]],
  [/^E(HOST|NET)UNREACH$/, ["(no route to its network)", "(no route to the proxy's network)"]],
  [
    /^ETIMEDOUT$|TIMEOUT$|^TimeoutError$/,
    ["(no answer in time: a firewall may drop it)", "(no answer in time, through the proxy)"],
  ],
  [
    /^EPROTO$|^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_LAYER_FAILURE)$/,
    [
      "(there is no TLS at its port: is it an http address?)",
      "(there is no TLS at its port, through the proxy)",
    ],
  ],
  [
    /^ECONNRESET$|^EPIPE$|^UND_ERR_SOCKET$|^ERR_SSL_UNEXPECTED_EOF/,
    [
      "(the connection was cut: its port may want https, or a certificate of this site: --cert and --key)",
      "(the connection was cut behind the proxy: it may want a certificate of this site: --cert and --key)",
    ],
  ],
];

/** Codes of certificates, as OpenSSL and Node give them. */
const UNTRUSTED: readonly (readonly [RegExp, string])[] = [
  [
    /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_)/,
    "(it does not take this site's certificate, or wants one)",
  ],
  [/^CERT_HAS_EXPIRED$|^CERT_NOT_YET_VALID$/, "(its certificate has expired, or one of the clocks is wrong)"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$|HOSTNAME_MISMATCH/, "(its certificate is for another name)"],
  [/CERT|^UNABLE_TO_/, "(nobody whom this machine trusts has signed its certificate)"],
];

/**
 * @param cause what a request or a socket failed with
 * @param throughProxy whether it went through one
 * @returns coordinator.unreachable, coordinator.untrusted or proxy.refused
 */
export function connectionFailure(cause: unknown, throughProxy: boolean): ConsiliumError {
  const chain = causes(cause);
  const ours = chain.find((error) => error instanceof ConsiliumError);
  if (ours !== undefined) return ours;
  const codes = chain.flatMap((error) => [codeOf(error), error.name]);
  for (const [pattern, detail] of UNTRUSTED) {
    if (codes.some((code) => pattern.test(code)))
      return new ConsiliumError("coordinator.untrusted", { detail, cause });
  }
  const answer = chain.map(answerOf).find((found) => found !== null) ?? null;
  if (answer !== null) return strangeAnswer(answer.status, answer.fromProxy, cause);
  if (chain.some(({ message }) => message === "unexpected redirect"))
    return unreachable("(it sends us on to another address: give that one)", cause);
  for (const [pattern, [direct, proxied]] of REASONS) {
    if (codes.some((code) => pattern.test(code))) return unreachable(throughProxy ? proxied : direct, cause);
  }
  return unreachable(throughProxy ? "(through the proxy)" : undefined, cause);
}

/** An answer by HTTP that is not the coordinator's. What it says is not for our terminal. */
export function strangeAnswer(status: number, fromProxy: boolean, cause?: unknown): ConsiliumError {
  const detail = `(HTTP ${status})`;
  if (status === 407 || (fromProxy && status < 500))
    return new ConsiliumError("proxy.refused", { detail, cause });
  return unreachable(fromProxy ? `(HTTP ${status} from the proxy: it does not reach it)` : detail, cause);
}

/** The error and those behind it, also behind a socket's event. */
function causes(first: unknown): readonly Error[] {
  const found: Error[] = [];
  const open: unknown[] = [first];
  for (let at = open.shift(); at !== undefined || open.length > 0; at = open.shift()) {
    if (typeof at !== "object" || at === null) continue;
    if (at instanceof Error) {
      if (found.includes(at)) continue;
      found.push(at);
    }
    for (const name of ["cause", "error", "description"] as const)
      if (name in at) open.push((at as Readonly<Record<typeof name, unknown>>)[name]);
    if (at instanceof AggregateError) open.push(...(at.errors as unknown[]));
  }
  return found;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

/** What a proxy answered to CONNECT (undici), or whoever it was to a socket (ws). */
function answerOf({ message }: Error): { readonly status: number; readonly fromProxy: boolean } | null {
  const [, from, status] = /^(Proxy response \(|Unexpected server response: )(\d{3})\b/.exec(message) ?? [];
  return status === undefined ? null : { status: Number(status), fromProxy: from === "Proxy response (" };
}
