/** Liveness by progress: a transfer may take as long as it likes while bytes move, and ends when they stop. */
import { unreachable } from "./remote-error.ts";

export const STALL_MS = 60_000;

export interface StallWatch {
  /** Aborted, with coordinator.unreachable as its reason, after `stallMs` without a `moved`. */
  readonly signal: AbortSignal;
  moved(): void;
  stop(): void;
}

export function watchForStall(stallMs = STALL_MS): StallWatch {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(unreachable("(the transfer stands still)"));
  }, stallMs);
  timer.unref();
  return {
    signal: controller.signal,
    moved: () => timer.refresh(),
    stop: () => {
      clearTimeout(timer);
    },
  };
}

/** Rejects with the signal's reason when it fires; never resolves. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fire = (): void => {
      reject(asError(signal.reason));
    };
    if (signal.aborted) fire();
    else signal.addEventListener("abort", fire, { once: true });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new DOMException("aborted", "AbortError");
}
