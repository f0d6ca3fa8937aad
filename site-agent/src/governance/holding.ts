/** Waiting, as the policy wants it: before the site says hello, and at the border of a step while it trains. */
import { ConsiliumError } from "@consilium/shared/errors";
import { HOLD_SAID_EVERY_MS, holdReplySchema, type HoldMessage } from "@consilium/shared/protocol/hold";
import type { Http } from "../federation/http.ts";
import { recorder, type Recorder, type RecordPorts } from "../federation/recorded.ts";
import { bearer, type Membership } from "../federation/session.ts";
import type { Pause } from "../training/pause.ts";
import type { Gate, Hold } from "./gate.ts";

export interface HoldingPorts extends RecordPorts {
  readonly http: Http;
  readonly gate: Pick<Gate, "hold" | "pause">;
  /** Resolves early when the signal fires. */
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
}

/** What a person types takes effect within this. */
const LOOK_EVERY_MS = 2_000;
const PAUSE_LOOK_EVERY_MS = 5_000;

/** How many a model has, and how many of them travel in an update. */
export interface Weights {
  readonly model: number;
  readonly update: number;
}

export class Holding {
  readonly #ports: HoldingPorts;
  readonly #path: string;
  readonly #weights: Weights;
  readonly #record: Recorder;

  constructor(ports: HoldingPorts, { federation }: Membership, weights: Weights) {
    this.#ports = ports;
    this.#path = `api/federations/${federation}/holds`;
    this.#weights = weights;
    this.#record = recorder(ports, federation);
  }

  /**
   * Returns once the site may begin.
   * @param say is told why it waits
   * @throws policy.*, plan.refused; what the coordinator reports; the signal's reason
   */
  async whileHeld(session: string, say: (text: string) => void, signal: AbortSignal): Promise<void> {
    let said = { text: "", atMs: -Infinity };
    for (;;) {
      const hold = await this.#ports.gate.hold(this.#weights.model, this.#weights.update);
      if (hold === null) return;
      const nowMs = this.#ports.nowMs();
      if (hold.text !== said.text || nowMs - said.atMs >= HOLD_SAID_EVERY_MS) {
        say(hold.text);
        await this.#tell(session, hold);
        said = { text: hold.text, atMs: nowMs };
      }
      await this.#ports.sleep(LOOK_EVERY_MS, signal);
      signal.throwIfAborted();
    }
  }

  /** @throws policy.held, and what cannot be waited for */
  async assertFree(): Promise<void> {
    const hold = await this.#ports.gate.hold(this.#weights.model, this.#weights.update);
    if (hold !== null) throw new ConsiliumError("policy.held", { detail: `(${hold.text})` });
  }

  /**
   * Pauses a training outside the hours of work, and lets it go on within them.
   * @param session to tell the coordinator by, if there is one
   * @param say is told why it pauses, and null when it goes on
   * @returns a function that ends the watch
   */
  watch(pause: Pause, session: string | null, say: (text: string | null) => void): () => void {
    const controller = new AbortController();
    const { signal } = controller;
    const tell = async (hold: Hold | null): Promise<void> => {
      if (session !== null) await this.#tell(session, hold);
    };
    const look = async (): Promise<void> => {
      let toldAtMs = -Infinity;
      while (!signal.aborted) {
        const hold = await this.#ports.gate.pause();
        const nowMs = this.#ports.nowMs();
        const isNew = pause.set(hold !== null);
        if (isNew) say(hold === null ? null : `paused: ${hold.text}`);
        if (isNew || (hold !== null && nowMs - toldAtMs >= HOLD_SAID_EVERY_MS)) {
          toldAtMs = nowMs;
          // Only for whoever watches: the training does not wait for it.
          tell(hold).catch(() => undefined);
        }
        await this.#ports.sleep(PAUSE_LOOK_EVERY_MS, signal);
      }
    };
    // A policy that cannot be read stops the next round, with its error; this training has begun.
    look().catch(() => undefined);
    return () => {
      controller.abort();
      pause.set(false);
    };
  }

  async #tell(session: string, hold: Hold | null): Promise<void> {
    const message: HoldMessage | null = hold && {
      reason: hold.reason,
      until: hold.untilMs === null ? null : new Date(hold.untilMs).toISOString(),
    };
    const body = { hold: message };
    await this.#record({ kind: "hold" }, JSON.stringify(body), () =>
      this.#ports.http.post(this.#path, body, holdReplySchema, { headers: bearer(session) }),
    );
  }
}
