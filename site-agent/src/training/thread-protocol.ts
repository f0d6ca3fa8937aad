/** What the trainer and its worker thread say to each other. */
import type { PackedError } from "@consilium/shared/packed-error";
import type { Plan } from "@consilium/shared/plan";
import type { Genesis, LocalRoundProgress, LocalRoundRequest, LocalRoundResult } from "./types.ts";

/** The calls that a worker answers: argument and result. */
export interface Calls {
  genesis: { argument: { plan: Plan; start: Uint8Array | null }; result: Genesis };
  countImages: { argument: { readonly plan: Plan; readonly cacheDir: string }; result: number };
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
 * `cancel` ends the call at the next step's border; it is then answered as aborted. `pause` lets it rest there until
 * `resume`. `close` cancels every call and lets
 * the thread end.
 */
export type ToWorker =
  | CallMessage
  | { readonly call: "cancel"; readonly id: number }
  | { readonly call: "pause"; readonly id: number }
  | { readonly call: "resume"; readonly id: number }
  | { readonly call: "close" };

export type FromWorker =
  | { readonly id: number; readonly progress: LocalRoundProgress }
  | { readonly id: number; readonly result: Calls[CallName]["result"] }
  | { readonly id: number; readonly aborted: true }
  | { readonly id: number; readonly error: PackedError };
