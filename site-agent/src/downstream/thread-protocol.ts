/** What the fine-tuning thread says. It is started with one FinetuneRequest and told nothing but to stop. */
import type { PackedError } from "@consilium/shared/packed-error";
import type { FinetuneOutcome, FinetuneProgress } from "./types.ts";

export type FromFinetuneThread =
  | { readonly progress: FinetuneProgress }
  | { readonly outcome: FinetuneOutcome }
  | { readonly aborted: true }
  | { readonly error: PackedError };

/** Ends the work at the next step's border. */
export const STOP = "stop";
