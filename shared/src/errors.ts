/** Errors that leave a function of this project on purpose, and the forms they take for people and on the wire. */
import { ERRORS } from "./error-table.ts";
import type { ErrorBody } from "./protocol/http.ts";

export { ERRORS } from "./error-table.ts";
export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptions {
  /** What is special about this case. Never a path, a header value, a key or a token. */
  readonly detail?: string;
  /** Who or what caused it: site ids, field names. */
  readonly culprits?: readonly string[];
  readonly cause?: unknown;
}

/** Every error that leaves a function of this project on purpose. */
export class ConsiliumError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly culprits: readonly string[];

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    super(
      options.detail === undefined ? ERRORS[code].meaning : `${ERRORS[code].meaning} ${options.detail}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "ConsiliumError";
    this.code = code;
    this.detail = options.detail;
    this.culprits = options.culprits ?? [];
  }

  get next(): string {
    return ERRORS[this.code].next;
  }

  get retry(): boolean {
    return ERRORS[this.code].retry;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** The form an error takes on the wire and in `--json` output. */
export function errorBody(error: ConsiliumError): ErrorBody {
  return { code: error.code, message: error.message, next: error.next, culprits: error.culprits };
}

/** Node's own errors that have a place in the table; everything else becomes `internal`, its text kept out. */
export function toConsiliumError(error: unknown): ConsiliumError {
  if (error instanceof ConsiliumError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return new ConsiliumError("disk.full", { cause: error });
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "EISDIR":
    case "EEXIST":
    case "ENOTDIR":
      return new ConsiliumError("disk.denied", { cause: error });
    case "EADDRINUSE":
      return new ConsiliumError("port.in-use", { cause: error });
    case "ECONNREFUSED":
    case "ECONNRESET":
    case "ETIMEDOUT":
    case "ENOTFOUND":
    case "UND_ERR_SOCKET":
      return new ConsiliumError("coordinator.unreachable", { cause: error });
    default:
      return new ConsiliumError("internal", {
        ...(error instanceof Error ? { detail: `(${error.name})` } : {}),
        cause: error,
      });
  }
}

/** The three lines a person sees instead of a stack trace. */
export function describeError(error: unknown): string {
  const known = toConsiliumError(error);
  return `${known.message}\n  code: ${known.code}\n  next: ${known.next}`;
}
