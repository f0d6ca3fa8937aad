/** What the trainer and its worker thread say to each other. */
import { ConsiliumError, ERRORS, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import type { Plan } from "@consilium/shared/plan";
import type { LocalRoundProgress, LocalRoundRequest, LocalRoundResult, Trainer } from "./types.ts";

/** The calls that a worker answers: argument and result. */
export interface Calls {
  genesis: { argument: Plan; result: Awaited<ReturnType<Trainer["genesis"]>> };
  countImages: { argument: string; result: number };
  train: { argument: LocalRoundRequest; result: LocalRoundResult };
}
export type CallName = keyof Calls;

type CallMessage = {
  [Name in CallName]: {
    readonly call: Name;
    readonly id: number;
    readonly argument: Calls[Name]["argument"];
  };
}[CallName];
/**
 * `cancel` ends the call at the next step's border; it is then answered as aborted. `close` cancels every call and lets
 * the thread end.
 */
export type ToWorker =
  CallMessage | { readonly call: "cancel"; readonly id: number } | { readonly call: "close" };

export type FromWorker =
  | { readonly id: number; readonly progress: LocalRoundProgress }
  | { readonly id: number; readonly result: Calls[CallName]["result"] }
  | { readonly id: number; readonly aborted: true }
  | { readonly id: number; readonly error: PackedError };

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
