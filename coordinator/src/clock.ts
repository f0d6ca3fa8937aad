/** Time as a port, so that deadlines can be tested without waiting for them. */
export interface Clock {
  /** Milliseconds since 1970, UTC. */
  now(): number;
  /** Milliseconds since some moment: goes on evenly whatever the clock is set to, and stands while the machine sleeps. */
  steadyMs(): number;
  /** Calls `action` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
}

/** Node's timers hold 31 bits of milliseconds; a longer wait is made of several. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  steadyMs: () => performance.now(),
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

/** Less is what clocks are corrected by while they go on. */
const LEAST_JUMP_MS = 5_000;

/**
 * The same clock; whoever reads it learns first that it was set, or that the machine slept.
 * @param onJump is told by how much it shows more than time has passed; negative when it was set back
 */
export function noticingJumps(clock: Clock, onJump: (byMs: number) => void): Clock {
  let offsetMs = clock.now() - clock.steadyMs();
  return {
    now() {
      const nowMs = clock.now();
      const byMs = nowMs - clock.steadyMs() - offsetMs;
      if (Math.abs(byMs) >= LEAST_JUMP_MS) {
        offsetMs += byMs;
        onJump(byMs);
      }
      return nowMs;
    },
    steadyMs: () => clock.steadyMs(),
    after: (delayMs, action) => clock.after(delayMs, action),
  };
}

export const isoTime = (atMs: number): string => new Date(atMs).toISOString();
