/** Errors that the coordinator reports, as our own. What it sends is shown to a person, so it is cut and cleaned. */
import { ConsiliumError, ERRORS, type ErrorCode } from "@consilium/shared/errors";
import type { ErrorBody } from "@consilium/shared/protocol/http";

const MAX_DETAIL_CHARACTERS = 200;

export function remoteError(body: ErrorBody): ConsiliumError {
  if (!isErrorCode(body.code)) {
    return new ConsiliumError("protocol.invalid-message", { detail: "(an unknown error code)" });
  }
  // Its bugs and outages are not this site's: the agent waits until they are over.
  if (body.code === "internal") return unreachable("(it reports an internal error)");
  const { meaning } = ERRORS[body.code];
  const detail = printable(body.message.startsWith(meaning) ? body.message.slice(meaning.length) : "");
  return new ConsiliumError(body.code, {
    ...(detail === "" ? {} : { detail }),
    culprits: body.culprits.map(printable),
  });
}

export function unreachable(detail?: string, cause?: unknown): ConsiliumError {
  return new ConsiliumError("coordinator.unreachable", {
    ...(detail === undefined ? {} : { detail }),
    cause,
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** No control characters, which could rewrite a terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, "").trim().slice(0, MAX_DETAIL_CHARACTERS);
}
