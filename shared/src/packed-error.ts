/** Errors on their way from one thread to another. */
import { ConsiliumError, ERRORS, toConsiliumError, type ErrorCode } from "./errors.ts";

/** A typed error's fields: classes do not survive the crossing. */
export interface PackedError {
  readonly code: string;
  readonly detail: string | undefined;
  readonly culprits: readonly string[];
  /** For debugging, at the site. */
  readonly cause: string | undefined;
}

export function packError(thrown: unknown): PackedError {
  const { code, detail, culprits, cause } = toConsiliumError(thrown);
  return { code, detail, culprits, cause: cause instanceof Error ? cause.stack : undefined };
}

export function unpackError({ code, detail, culprits, cause }: PackedError): ConsiliumError {
  return new ConsiliumError(isErrorCode(code) ? code : "internal", {
    ...(detail === undefined ? {} : { detail }),
    culprits,
    cause,
  });
}

const isErrorCode = (code: string): code is ErrorCode => code in ERRORS;
