/** Time as a port, so that deadlines can be tested without waiting for them. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Calls `action` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
}

/** Node's timers hold 31 bits of milliseconds; a longer wait is made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(delayMs, action) {
    let timer: NodeJS.Timeout;
    const wait = (remainingMs: number): void => {
      const stepMs = Math.min(remainingMs, LONGEST_TIMER_MS);
      timer = setTimeout(() => {
        if (remainingMs > stepMs) wait(remainingMs - stepMs);
        else action();
      }, stepMs);
    };
    wait(Math.max(0, delayMs));
    return () => {
      clearTimeout(timer);
    };
  },
};

export const isoTime = (atMs: number): string => new Date(atMs).toISOString();
