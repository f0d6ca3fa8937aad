/** What a federation has set itself to do: at a time, and again until it is done. */
import { toConsiliumError, type ConsiliumError } from "@consilium/shared/errors";
import type { Clock } from "../clock.ts";

/** Work that failed for a reason of the machine, such as a full disk, is tried again. */
const RETRY_MS = 5_000;

export class Errands {
  readonly #clock: Clock;
  readonly #onFailure: (error: ConsiliumError) => void;
  readonly #waiting = new Set<() => void>();
  #closed = false;

  /** @param onFailure told each time that an action will be tried again */
  constructor(clock: Clock, onFailure: (error: ConsiliumError) => void) {
    this.#clock = clock;
    this.#onFailure = onFailure;
  }

  /** @returns a function that cancels it */
  after(delayMs: number, action: () => Promise<void>): () => void {
    if (this.#closed) return () => undefined;
    const stop = this.#clock.after(delayMs, () => {
      this.#waiting.delete(cancel);
      this.keepTrying(action);
    });
    const cancel = (): void => {
      stop();
      this.#waiting.delete(cancel);
    };
    this.#waiting.add(cancel);
    return cancel;
  }

  /** Starts the action now. */
  keepTrying(action: () => Promise<void>): void {
    action().catch((error: unknown) => {
      if (this.#closed) return;
      this.#onFailure(toConsiliumError(error));
      this.after(RETRY_MS, action);
    });
  }

  /** Nothing is begun any more; what runs may end. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#waiting) cancel();
  }
}
