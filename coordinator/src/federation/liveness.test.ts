import type { Attempt, Round, Sha256, SiteId } from "@consilium/shared/ids";
import { describe, expect, it } from "vitest";
import { nextPace, type Pace } from "./live.ts";
import { judgeLiveness, outlookOf } from "./liveness.ts";
import type { OpenPosition, Rules } from "./types.ts";

const MINUTE = 60_000;
const [north, south, west] = ["north", "south", "west"] as [SiteId, SiteId, SiteId];
const place = { round: 2 as Round, attempt: 1 as Attempt };
const rules: Rules = {
  rounds: 5,
  minSites: 2,
  roundDeadlineMs: 30 * MINUTE,
  gatherMs: 0,
  acceptance: null,
  secure: "plain",
};

/** Training reported every `everyMs` from 0 on, a percent each time. */
function paceAfter(reports: number, everyMs: number): Pace {
  let pace: Pace | null = null;
  for (let i = 0; i <= reports; i++) {
    pace = nextPace(pace, { ...place, phase: "training", done: i, total: 100, loss: null }, i * everyMs);
  }
  if (pace === null) throw new Error("it reports at least once");
  return pace;
}

const position = (...contributed: readonly SiteId[]): OpenPosition => ({
  phase: "open",
  ...place,
  base: "0".repeat(64) as Sha256,
  cohort: [north, south, west],
  openedAtMs: 0,
  deadlineAtMs: rules.roundDeadlineMs,
  contributions: contributed.map((site) => ({
    site,
    examples: 1,
    metrics: null,
    sealedSha256: "0".repeat(64) as Sha256,
    sealedBytes: 1,
  })),
  refused: [],
  masking: null,
});

const all = { rules, connected: [north, south, west] };
const live =
  (pace: Pace | null, lastSeenAtMs = pace?.movedAtMs ?? null) =>
  () => ({ pace, lastSeenAtMs });

describe("a site in an open round", () => {
  it("is moving while its pauses are like those before, and silent after four times the longest", () => {
    const slow = paceAfter(10, 3 * MINUTE);
    const look = (nowMs: number) => outlookOf(position(), live(slow)(), true, nowMs);
    expect(look(30 * MINUTE)).toMatchObject({ is: "moving", finishAtMs: 300 * MINUTE });
    expect(look(41 * MINUTE).is).toBe("moving");
    expect(look(43 * MINUTE)).toEqual({ is: "silent", text: "silent for 13 min 0 s, training 10 %" });
  });

  it("is not called silent within two minutes, however quick it was", () => {
    const quick = paceAfter(10, 10);
    expect(outlookOf(position(), live(quick)(), true, 2 * MINUTE).is).toBe("moving");
    expect(outlookOf(position(), live(quick)(), true, 3 * MINUTE).is).toBe("silent");
  });

  it("is expected for as long as its training should take when its link is cut", () => {
    const halfWay = paceAfter(50, MINUTE / 10);
    const away = (nowMs: number) => outlookOf(position(), live(halfWay)(), false, nowMs);
    expect(away(8 * MINUTE)).toMatchObject({ is: "moving", text: "not connected for 3 min 0 s" });
    expect(away(13 * MINUTE).is).toBe("silent");
  });

  it("has not begun while all it reported is of another attempt", () => {
    const earlier = { ...paceAfter(3, MINUTE), round: 1 };
    expect(outlookOf(position(), live(earlier)(), true, 20 * MINUTE).is).toBe("quiet");
  });
});

describe("a round", () => {
  it("does not wait for the silent once all the others are there", () => {
    const silent = live(paceAfter(10, 1000));
    expect(judgeLiveness(all, position(north, south), silent, 10 * MINUTE).silent).toMatchObject([
      { site: west },
    ]);
    // Two are missing, and one contribution is too few to go on with.
    expect(judgeLiveness(all, position(north), silent, 10 * MINUTE).silent).toEqual([]);
  });

  it("waits beyond its deadline for a site that gets on, as long as it should take and a quarter more", () => {
    const slow = live(paceAfter(60, MINUTE / 2));
    const { silent, waitUntilMs } = judgeLiveness(all, position(north, south), slow, 30 * MINUTE);
    expect(silent).toEqual([]);
    expect(waitUntilMs).toBe(55 * MINUTE);
  });

  it("waits no longer than four deadlines in all", () => {
    const creeping = live(paceAfter(10, 12 * MINUTE));
    expect(judgeLiveness(all, position(north, south), creeping, 119 * MINUTE).waitUntilMs).toBe(120 * MINUTE);
    expect(judgeLiveness(all, position(north, south), creeping, 121 * MINUTE).waitUntilMs).toBeNull();
  });

  it("ends at its deadline for sites that never began", () => {
    expect(judgeLiveness(all, position(north, south), live(null), 30 * MINUTE)).toEqual({
      silent: [],
      waitUntilMs: null,
    });
  });
});
