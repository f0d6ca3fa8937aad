/** What the training thread and its loader say to each other. */
import type { PackedError } from "@consilium/shared/packed-error";
import type { RoundBatches } from "./round-batches.ts";
import type { Batch } from "./types.ts";

export interface LoaderRequest extends RoundBatches {
  /** Folder of the image cache. */
  readonly cacheDir: string;
  /** Keys of the images that the round trains on, in the trainer's order: the cache may have changed since it looked. */
  readonly images?: readonly string[];
}

/** `more` allows one batch beyond the `ahead` of the start. */
export type ToLoader =
  | {
      readonly call: "start";
      readonly round: number;
      readonly request: LoaderRequest;
      readonly ahead: number;
    }
  | { readonly call: "more" | "end"; readonly round: number }
  | { readonly call: "close" };

/** null: there is no further batch. */
export type FromLoader =
  | { readonly round: number; readonly batch: Batch | null }
  | { readonly round: number; readonly error: PackedError };
