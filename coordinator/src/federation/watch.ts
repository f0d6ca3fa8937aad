/** Looks now and then at who gets on in the round that is open, and decides what a deadline means when it passes. */
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { Errands } from "./errands.ts";
import type { LiveSites } from "./live.ts";
import { judgeLiveness } from "./liveness.ts";
import type { Effect, FederationState, Happening } from "./types.ts";

const LOOK_EVERY_MS = 15_000;
/** Timers are late by less than this unless the clock jumped or the machine slept. */
const MOST_LATE_MS = 30_000;

type Deadline = Extract<Effect, { effect: "await-deadline" }>;
type Verdict = Extract<Happening, { type: "deadline.passed" | "deadline.extended" | "contribution.refused" }>;

export interface WatchPorts {
  readonly clock: Clock;
  readonly errands: Errands;
  readonly stateNow: () => FederationState;
  readonly live: LiveSites;
  readonly dispatch: (event: Verdict) => Promise<void>;
  readonly logger: Logger;
}

export class Watch {
  readonly #ports: WatchPorts;
  #cancels: (() => void)[] = [];

  constructor(ports: WatchPorts) {
    this.#ports = ports;
  }

  /** Of the deadlines that were awaited only the newest counts. */
  await(deadline: Deadline): void {
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [this.#ports.errands.after(deadline.afterMs, () => this.#passed(deadline))];
    this.#lookLater(deadline);
  }

  #lookLater(deadline: Deadline): void {
    const { clock, errands } = this.#ports;
    const [cancelDeadline] = this.#cancels;
    const dueAtMs = clock.now() + LOOK_EVERY_MS;
    const cancelLook = errands.after(LOOK_EVERY_MS, () => this.#look(deadline, dueAtMs));
    this.#cancels = [...(cancelDeadline === undefined ? [] : [cancelDeadline]), cancelLook];
  }

  async #passed({ round, attempt, step }: Deadline): Promise<void> {
    const untilMs = this.#judge({ round, attempt, step })?.waitUntilMs ?? null;
    await this.#ports.dispatch(
      untilMs === null
        ? { type: "deadline.passed", round, attempt, step }
        : { type: "deadline.extended", round, attempt, step, untilMs },
    );
  }

  async #look(deadline: Deadline, dueAtMs: number): Promise<void> {
    const lateMs = this.#ports.clock.now() - dueAtMs;
    // Nobody is silent for the time in which this machine slept.
    if (Math.abs(lateMs) > MOST_LATE_MS) {
      this.#ports.live.shift(lateMs);
      this.#ports.logger.warn({ byMs: lateMs }, "the clock jumped, or this machine slept");
    }
    const judgement = this.#judge(deadline);
    if (judgement === null) return;
    this.#lookLater(deadline);
    const { round, attempt } = deadline;
    for (const { site, reason } of judgement.silent) {
      await this.#ports.dispatch({ type: "contribution.refused", round, attempt, site, reason });
    }
  }

  /** Null once the round has gone on. */
  #judge({
    round,
    attempt,
    step,
  }: Pick<Deadline, "round" | "attempt"> & { step?: Deadline["step"] | undefined }) {
    const { stateNow, live, clock } = this.#ports;
    const state = stateNow();
    const { position } = state;
    if (position.phase !== "open" || position.round !== round || position.attempt !== attempt) return null;
    if (position.masking !== null && position.masking.step !== step) return null;
    return judgeLiveness(state, position, (site) => live.get(site), clock.now());
  }
}
