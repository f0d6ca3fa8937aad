/** Looks now and then at who gets on in the round that is open, and decides what a deadline means when it passes. */
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { Errands } from "./errands.ts";
import type { LiveSites } from "./live.ts";
import { judgeLiveness } from "./liveness.ts";
import type { Effect, FederationState, Happening } from "./types.ts";

const LOOK_EVERY_MS = 15_000;

type Deadline = Extract<Effect, { effect: "await-deadline" }>;
type Verdict = Extract<
  Happening,
  { type: "deadline.passed" | "deadline.extended" | "contribution.refused" | "gathering.ended" }
>;

export interface WatchPorts {
  /** Its jumps are told to `jumped`. */
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
  #cancelGathering: () => void = () => undefined;
  #deadline: Deadline | null = null;
  /** By how much the clock has jumped since the attempt was opened. */
  #jumpedMs = 0;

  constructor(ports: WatchPorts) {
    this.#ports = ports;
  }

  /** Sites that are away are waited for; an older wait was for others. */
  gather(afterMs: number): void {
    const { errands, dispatch } = this.#ports;
    this.#cancelGathering();
    this.#cancelGathering = errands.after(afterMs, () => dispatch({ type: "gathering.ended" }));
  }

  /** Of the deadlines that were awaited only the newest counts. */
  await(deadline: Deadline): void {
    const { round, attempt } = this.#deadline ?? {};
    if (round !== deadline.round || attempt !== deadline.attempt) this.#jumpedMs = 0;
    this.#deadline = deadline;
    for (const cancel of this.#cancels) cancel();
    this.#cancels = [this.#ports.errands.after(deadline.afterMs, () => this.#passed(deadline))];
    this.#lookLater(deadline);
  }

  /**
   * The clock was set, or this machine slept: spans go on as before, what was noted stands as long ago as it did, and
   * whoever asks is told the time that is really left.
   */
  jumped(byMs: number): void {
    const { live, logger, errands, stateNow, dispatch } = this.#ports;
    logger.warn({ byMs }, "the clock jumped, or this machine slept");
    live.shift(byMs);
    this.#jumpedMs += byMs;
    const { position } = stateNow();
    if (position.phase !== "open") return;
    const { round, attempt, masking, deadlineAtMs } = position;
    const untilMs = deadlineAtMs + byMs;
    errands.keepTrying(() =>
      dispatch({ type: "deadline.extended", round, attempt, step: masking?.step, untilMs }),
    );
  }

  #lookLater(deadline: Deadline): void {
    const [cancelDeadline] = this.#cancels;
    const cancelLook = this.#ports.errands.after(LOOK_EVERY_MS, () => this.#look(deadline));
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

  async #look(deadline: Deadline): Promise<void> {
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
    const nowMs = clock.now();
    const state = stateNow();
    const { position } = state;
    if (position.phase !== "open" || position.round !== round || position.attempt !== attempt) return null;
    if (position.masking !== null && position.masking.step !== step) return null;
    const opened = { ...position, openedAtMs: position.openedAtMs + this.#jumpedMs };
    return judgeLiveness(state, opened, (site) => live.get(site), nowMs);
  }
}
