import type { Attempt, Round, SiteId } from "@consilium/shared/ids";
import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { noticingJumps, type Clock } from "../clock.ts";
import { hashOf } from "../testing/values.ts";
import { Errands } from "./errands.ts";
import { LiveSites } from "./live.ts";
import { transition } from "./reducer.ts";
import { initialState } from "./state.ts";
import type { FederationState } from "./types.ts";
import { Watch } from "./watch.ts";

const MINUTE = 60_000;
const [north, south] = ["north", "south"] as [SiteId, SiteId];
const place = { round: 1 as Round, attempt: 1 as Attempt };

/** Timers that fire when told, beside a clock that may be set to anything. */
class Skewed implements Clock {
  nowMs = 0;
  #steadyMs = 0;
  readonly #due: { readonly delayMs: number; readonly action: () => void }[] = [];

  now(): number {
    return this.nowMs;
  }

  steadyMs(): number {
    return this.#steadyMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { delayMs, action };
    this.#due.push(timer);
    return () => void this.#due.splice(this.#due.indexOf(timer), 1);
  }

  /** Fires the shortest timer; the clock shows its time, and `jumpMs` more. */
  async fire(jumpMs = 0): Promise<void> {
    const next = this.#due.toSorted((a, b) => a.delayMs - b.delayMs)[0];
    if (next === undefined) throw new Error("nothing is awaited");
    this.#due.splice(this.#due.indexOf(next), 1);
    this.#steadyMs += next.delayMs;
    this.nowMs += next.delayMs + jumpMs;
    next.action();
    await new Promise(setImmediate);
  }
}

function watching() {
  const clock = new Skewed();
  const live = new LiveSites();
  const rules = {
    rounds: 2,
    minSites: 1,
    roundDeadlineMs: 30 * MINUTE,
    gatherMs: 0,
    acceptance: null,
    secure: "plain",
  } as const;
  const contribution = { site: north, examples: 1, metrics: null, sealedSha256: hashOf("u"), sealedBytes: 1 };
  let state: FederationState = {
    ...initialState(rules),
    connected: [north, south],
    position: {
      phase: "open",
      ...place,
      base: hashOf("base"),
      cohort: [north, south],
      openedAtMs: 0,
      deadlineAtMs: rules.roundDeadlineMs,
      contributions: [contribution],
      refused: [],
      masking: null,
    },
  };
  const said: { readonly type: string; readonly steadyMs: number }[] = [];
  const jumps: number[] = [];
  const watched = noticingJumps(clock, (byMs) => {
    watch.jumped(byMs);
  });
  const watch: Watch = new Watch({
    clock: watched,
    errands: new Errands(clock, () => undefined),
    stateNow: () => state,
    live,
    dispatch: (event) => {
      said.push({ type: event.type, steadyMs: clock.steadyMs() });
      const next = transition(state, { ...event, atMs: watched.now() });
      state = next.state;
      for (const effect of next.effects) if (effect.effect === "await-deadline") watch.await(effect);
      return Promise.resolve();
    },
    logger: pino(
      { level: "warn" },
      { write: (line: string) => jumps.push((JSON.parse(line) as { byMs: number }).byMs) },
    ),
  });
  watch.await({ effect: "await-deadline", ...place, afterMs: 30 * MINUTE });
  const report = (done: number): void => {
    live.report(south, { ...place, phase: "training", done, total: 100, loss: null }, watched.now());
  };
  const remainingMs = (): number => {
    if (state.position.phase !== "open") throw new Error("the round is over");
    return state.position.deadlineAtMs - clock.now();
  };
  return { clock, said, jumps, report, remainingMs };
}

const JUMPS: readonly [string, number][] = [
  ["is set an hour ahead", 60 * MINUTE],
  ["is set an hour back", -60 * MINUTE],
  ["stood still while the machine slept for a night", 10 * 60 * MINUTE],
];

describe("a coordinator's clock", () => {
  it.each(JUMPS)("that %s makes nobody silent, and leaves the time that was left", async (_what, jumpMs) => {
    const { clock, said, jumps, report, remainingMs } = watching();
    report(1);
    await clock.fire();
    report(2);
    await clock.fire(jumpMs);
    expect(jumps).toEqual([jumpMs]);
    expect(remainingMs()).toBe(30 * MINUTE - clock.steadyMs());
    for (let look = 0; look < 6; look++) await clock.fire();
    expect(said.map(({ type }) => type)).toEqual(["deadline.extended"]);
    expect(jumps).toEqual([jumpMs]);
  });

  it.each(JUMPS)(
    "that %s changes nothing about when a round goes on without a site",
    async (_what, jumpMs) => {
      /** What is said when, by a site that gets on for 50 minutes; the clock jumps just before it reports. */
      const play = async (byMs: number) => {
        const { clock, said, jumps, report } = watching();
        let jumped = false;
        for (let done = 1; said.every(({ type }) => type !== "contribution.refused");) {
          await clock.fire();
          if (!jumped && clock.steadyMs() >= 10 * MINUTE) {
            jumped = true;
            clock.nowMs += byMs;
          }
          if (clock.steadyMs() <= 50 * MINUTE) report(done++ / 4);
        }
        expect(jumps).toEqual(byMs === 0 ? [] : [byMs]);
        return said.filter(({ steadyMs }) => steadyMs > 20 * MINUTE);
      };
      expect(await play(jumpMs)).toEqual(await play(0));
    },
  );

  it("that goes on as it should tells who is silent", async () => {
    const { clock, said, jumps, report } = watching();
    report(1);
    for (let look = 0; look < 9; look++) await clock.fire();
    expect(said.map(({ type }) => type)).toEqual(["contribution.refused"]);
    expect(jumps).toEqual([]);
  });
});
