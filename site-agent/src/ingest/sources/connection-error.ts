/** What a failed connection to a PACS means to a person. */
import { ConsiliumError } from "@consilium/shared/errors";

/** Codes of certificates and handshakes, as Node gives them. */
const OF_TLS = /CERT|^ERR_TLS|^ERR_SSL|^EPROTO$|SELF_SIGNED|UNABLE_TO_VERIFY/;

export function connectionError(cause: unknown): ConsiliumError {
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return new ConsiliumError(OF_TLS.test(code) ? "pacs.untrusted" : "pacs.unreachable", { cause });
}
