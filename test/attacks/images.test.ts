/** What a malicious coordinator tries in the round before the first, which adds up what the sites' images are like (ADR 17). */
import { sign } from "@consilium/shared/crypto/identity";
import type { Attempt, SiteId } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { RoundOpening } from "@consilium/shared/protocol/round";
import { afterEach, describe, expect, it } from "vitest";
import { inStep, Stage, until } from "./support/stage.ts";
import type { Tampering } from "./support/tampering-proxy.ts";

const FIVE = ["a", "b", "c", "d", "e"] as const;
const siteIds = (...names: readonly string[]): SiteId[] => names.map((name) => name as SiteId);

let stage: Stage | null = null;
afterEach(async () => {
  await stage?.strike();
  stage = null;
});

async function five(tampering: Tampering = {}): Promise<Stage> {
  stage = await Stage.set(FIVE, { rounds: 1, minSites: 3 });
  for (const name of FIVE) stage.tamper(name, { images: true, ...tampering });
  return stage;
}

/** A position of round 0 that says something else, signed with the coordinator's own key. */
function reopened(
  on: Stage,
  position: FederationPosition,
  change: Partial<RoundOpening>,
): FederationPosition {
  if (position.phase !== "open" || position.opening.body.round !== 0) return position;
  return {
    ...position,
    opening: sign("round-opening", { ...position.opening.body, ...change }, on.coordinatorKey),
  };
}

/** The first that a site was told while round 0 was open. */
function openedImages(on: Stage, name: string): FederationPosition {
  const found = on.actor(name).proxy.positions.find(({ phase }) => phase === "open");
  if (found?.phase !== "open") throw new Error("round 0 was open");
  expect(found.opening.body.round).toBe(0);
  return found;
}

describe("a malicious coordinator, before round 1,", () => {
  it("that asks a site and one other alone for what their images are like gets no keys", async () => {
    const on = await five();
    on.tamper("a", {
      images: true,
      position: (position) => reopened(on, position, { cohort: siteIds("a", "b") }),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.too-few-sites", culprits: [] });
    expect(on.actor("a").proxy.answers).toEqual([]);
  });

  it("that drops sites until a fingerprint stands almost alone gets no signature, and the lost ones are named", async () => {
    const on = await five();
    on.tamper("a", {
      images: true,
      shown: inStep("consistency", ({ step, survivors }) => ({
        step,
        survivors: { ...survivors, survivors: siteIds("a", "b", "c") },
      })),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.too-few-sites: d, e");
    expect(on.actor("a").proxy.said("consistency")).toEqual([]);
  });

  it("that asks again with a site fewer, to take one sum from the other, gets no second set of keys", async () => {
    // Nobody hears of round 1, so that every site stays where round 0 left it.
    const on = await five({
      position: (position) =>
        position.phase === "open" && position.opening.body.round > 0
          ? { phase: "aggregating", round: 0 }
          : position,
    });
    on.play();
    // Four releases open the sum: the fifth site may not be asked.
    const releasing = () => on.actors.find(({ proxy }) => proxy.said("unmask").length > 0);
    await until(() => releasing() !== undefined);
    const { name, proxy } = releasing() ?? expect.fail("it has released");
    const fewer = siteIds(name, ...FIVE.filter((other) => other !== name).slice(1)).sort();
    const again = reopened(on, openedImages(on, name), { attempt: 2 as Attempt, cohort: fewer });
    if (again.phase !== "open") throw new Error("it was open");
    const asked: FederationPosition = { ...again, masking: { step: "advertise", wanted: true } };
    on.tamper(name, { images: true, position: () => asked });
    proxy.push(asked);
    expect(await on.satOut(name)).toBe("secagg.spent");
    expect(proxy.said("advertise")).toHaveLength(1);
  });

  it("that replays the round of the images in the middle of round 1 gets no second set of keys", async () => {
    const on = await five();
    on.play();
    const { proxy } = on.actor("a");
    await until(() => proxy.said("advertise").length === 2);
    const first = openedImages(on, "a");
    if (first.phase !== "open") throw new Error("it was open");
    const replayed: FederationPosition = { ...first, masking: { step: "advertise", wanted: true } };
    on.tamper("a", { images: true, position: () => replayed });
    proxy.push(replayed);
    expect(await on.satOut("a")).toBe("secagg.other-attempt");
    expect(proxy.said("advertise")).toHaveLength(2);
  });

  it("that mixes a site's keys of the images among those of round 1 is refused, naming the site", async () => {
    const on = await five();
    on.tamper("a", {
      images: true,
      shown: inStep("share", (shown) => {
        const [before, now] = on.actor("b").proxy.said("advertise");
        if (before === undefined || now === undefined) return shown;
        const keys = shown.keys.keys.map((signed) => (signed.body.site === "b" ? before.keys : signed));
        return { step: shown.step, keys: { ...shown.keys, keys } };
      }),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.other-attempt: b");
    expect(on.actor("a").proxy.said("share")).toHaveLength(1);
  });
});
