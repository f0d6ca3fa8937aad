/** What a malicious coordinator tries on real agents, each named by what it does and held to what the site answers. */
import { randomBytes } from "node:crypto";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { createIdentity, sign } from "@consilium/shared/crypto/identity";
import type { SiteId } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { RoundOpening } from "@consilium/shared/protocol/round";
import { afterEach, describe, expect, it } from "vitest";
import { random } from "../support/federation.ts";
import { inStep, Stage, until } from "./support/stage.ts";
import type { TamperingProxy } from "./support/tampering-proxy.ts";

const FIVE = ["a", "b", "c", "d", "e"] as const;
const OTHERS = ["b", "c", "d", "e"] as const;
const siteIds = (names: readonly string[]): SiteId[] => names.map((name) => name as SiteId);

let stage: Stage | null = null;
afterEach(async () => {
  await stage?.strike();
  stage = null;
});

async function five({ rounds = 1, minSites = 3 } = {}): Promise<Stage> {
  stage = await Stage.set(FIVE, { rounds, minSites });
  return stage;
}

/** A round that says something else, signed with the coordinator's own key. */
function reopened(
  on: Stage,
  position: FederationPosition,
  change: Partial<RoundOpening>,
): FederationPosition {
  if (position.phase !== "open") return position;
  const opening = sign("round-opening", { ...position.opening.body, ...change }, on.coordinatorKey);
  return { ...position, opening };
}

const contextOf = (proxy: TamperingProxy) =>
  proxy.said("advertise")[0]?.keys.body.context ?? expect.fail("it has advertised keys");

describe("a malicious coordinator", () => {
  it("that asks for an update without masks under a plan that masks gets none, and the site stops", async () => {
    const on = await five();
    on.tamper("a", {
      position(position) {
        if (position.phase !== "open") return position;
        return { ...position, masking: undefined };
      },
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.downgrade", culprits: [] });
    expect(on.actor("a").proxy.answers).toEqual([]);
    expect(on.facts.filter(({ fact }) => fact === "contribution.accepted")).toEqual([]);
  });

  it("that puts a key of its own in a site's place is caught by the signature, which names that site", async () => {
    const on = await five();
    const mine = toBase64Url(createIdentity(random).sealingSecret);
    on.tamper("a", {
      shown: inStep("share", ({ step, keys }) => ({
        step,
        keys: {
          ...keys,
          keys: keys.keys.map((signed) =>
            signed.body.site === "c" ? { ...signed, body: { ...signed.body, pairKey: mine } } : signed,
          ),
        },
      })),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "crypto.bad-signature", culprits: ["c"] });
    expect(on.actor("a").proxy.said("share")).toEqual([]);
  });

  it("that shows another long-term key for a site in a later round is caught by the pins, which name that site", async () => {
    const on = await five({ rounds: 2 });
    const mallory = createIdentity(random).public;
    on.tamper("a", {
      shown: inStep("advertise", (shown) => {
        const { body } = shown.roster;
        if (body.round !== 2) return shown;
        const members = body.members.map((member) =>
          member.site === "d" ? { ...member, identity: mallory } : member,
        );
        return { step: shown.step, roster: sign("roster", { ...body, members }, on.coordinatorKey) };
      }),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.roster-changed", culprits: ["d"] });
    expect(on.actor("a").proxy.said("advertise")).toHaveLength(1);
  });

  it("that names a stranger's key as the site's own is refused by that site", async () => {
    const on = await five();
    on.tamper("a", {
      shown: inStep("advertise", ({ step, roster: { body } }) => {
        const members = body.members.map((member) =>
          member.site === "a" ? { ...member, identity: createIdentity(random).public } : member,
        );
        return { step, roster: sign("roster", { ...body, members }, on.coordinatorKey) };
      }),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.roster-changed", culprits: ["a"] });
  });

  // Where the three that see the true list are the first to vote, the attempt goes on without the other two: played again.
  it(
    "that shows two survivor lists to different sites gets signatures and not one share",
    { timeout: 20_000, retry: 3 },
    async () => {
      const on = await five();
      const short = siteIds(["a", "b", "c", "d"]);
      for (const name of FIVE) {
        on.tamper(name, {
          pretends: true,
          ...(name === "a" || name === "b"
            ? {
                shown: inStep("consistency", ({ step, survivors }) => ({
                  step,
                  survivors: { ...survivors, survivors: short },
                })),
              }
            : {}),
        });
      }
      on.play();
      await until(() => FIVE.every((name) => on.actor(name).proxy.said("consistency").length > 0));
      // The honest half of it notices already: the lists that a and b signed are not the one it has.
      for (const name of ["a", "b"]) {
        await until(() => on.actor(name).proxy.refusals.length > 0);
        expect(on.actor(name).proxy.refusals).toEqual([
          { event: "masking.answer", code: "secagg.equivocation", culprits: [name] },
        ]);
      }
      // So the other half shows each site what it likes: the votes as they are, or those for its own list alone.
      const votes = FIVE.flatMap((name) =>
        on
          .actor(name)
          .proxy.said("consistency")
          .map(({ vote }) => vote),
      );
      const { context } = votes[0]?.body ?? expect.fail("there are five");
      const own = on.actor("a").proxy.said("consistency")[0]?.vote.body.survivors;
      const agreed = { a: votes.filter(({ body }) => body.survivors === own), c: votes };
      for (const [name, shown] of Object.entries(agreed)) {
        on.tamper(name, {
          pretends: true,
          conjure: () => ({ step: "unmask", agreement: { context, votes: shown } }),
        });
      }
      expect(agreed.a).toHaveLength(2);
      // The coordinator's honest half is still waiting for signatures.
      for (const name of ["a", "c"]) on.callFor(name, "unmask");
      expect(await on.satOut("a")).toBe("secagg.too-few-sites");
      expect(await on.failure("c")).toEqual({ code: "secagg.equivocation", culprits: ["a"] });
      for (const { proxy } of on.actors) expect(proxy.said("unmask")).toEqual([]);
    },
  );

  it("that goes on with fewer signatures than the threshold gets no share", async () => {
    const on = await five();
    for (const name of FIVE) {
      on.tamper(name, {
        shown: inStep("unmask", ({ step, agreement }) => ({
          step,
          agreement: { ...agreement, votes: agreement.votes.slice(0, 3) },
        })),
      });
    }
    on.play();
    for (const name of FIVE) expect(await on.satOut(name)).toBe("secagg.too-few-sites");
    for (const { proxy } of on.actors) expect(proxy.said("unmask")).toEqual([]);
  });

  it("that counts one signature several times gets no share", async () => {
    const on = await five();
    on.tamper("a", {
      shown: inStep("unmask", ({ step, agreement }) => ({
        step,
        agreement: { ...agreement, votes: [...agreement.votes.slice(0, 2), ...agreement.votes.slice(0, 2)] },
      })),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.too-few-sites");
    expect(on.actor("a").proxy.said("unmask")).toEqual([]);
  });

  it("that asks for the other share as well gets one list signed and one share of each site", async () => {
    const on = await five({ rounds: 2 });
    // Nobody hears of round 2, so that every site stays where round 1 left it.
    for (const name of FIVE) {
      on.tamper(name, {
        position: (position) =>
          position.phase === "open" && position.opening.body.round === 2
            ? { phase: "aggregating", round: 1 }
            : position,
      });
    }
    on.play();
    await on.fact("round.aggregated");
    // Four releases open the sum: the fifth site may not have been asked.
    const released = on.actors.find(({ proxy }) => proxy.said("unmask").length > 0);
    const { name, proxy } = released ?? expect.fail("four of five have released");
    const first = proxy.positions.find(({ phase }) => phase === "open");
    if (first?.phase !== "open") throw new Error("round 1 was open");
    const again: FederationPosition = { ...first, masking: { step: "consistency", wanted: true } };
    on.tamper(name, {
      position: () => again,
      conjure: ({ step }) =>
        step === "consistency"
          ? { step, survivors: { context: contextOf(proxy), survivors: siteIds(["a", "b", "c", "d"]) } }
          : null,
    });
    proxy.push(again);
    expect(await on.satOut(name)).toBe("secagg.spent");
    expect(proxy.said("consistency")).toHaveLength(1);
    const [release, ...more] = proxy.said("unmask");
    expect(more).toEqual([]);
    expect(release?.release.body.shares.map(({ of }) => of).sort()).toEqual([...FIVE]);
  });

  it("that gives one site another base model ties it to no other: its keys are refused by name", async () => {
    const on = await five({ rounds: 2 });
    const keysOfA = () => on.actor("a").proxy.said("advertise").at(-1)?.keys;
    on.tamper("a", {
      pretends: true,
      // An older model, which the site holds and believes.
      position(position) {
        if (position.phase !== "open" || position.opening.body.round !== 2) return position;
        const first = on.actor("a").proxy.positions.find(({ phase }) => phase === "open");
        if (first?.phase !== "open") return position;
        return reopened(on, position, { base: first.opening.body.base });
      },
    });
    on.tamper("b", {
      shown: inStep("share", (shown) => {
        const forged = keysOfA();
        if (forged === undefined || on.openPosition("b").opening.body.round !== 2) return shown;
        const keys = [forged, ...shown.keys.keys.filter(({ body }) => body.site !== "a")];
        return { step: shown.step, keys: { ...shown.keys, keys } };
      }),
    });
    on.play();
    await until(() => on.actor("a").proxy.said("advertise").length === 2);
    await until(() => on.actor("a").proxy.refusals.length > 0);
    expect(on.actor("a").proxy.refusals[0]).toEqual({
      event: "masking.answer",
      code: "secagg.other-attempt",
      culprits: ["a"],
    });
  });

  it("that starts the first round from weights of its own choice is refused before anything is trained", async () => {
    const on = await five();
    const base = Buffer.from(randomBytes(32)).toString("hex") as RoundOpening["base"];
    on.tamper("a", { position: (position) => reopened(on, position, { base }) });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "genesis.mismatch", culprits: [] });
    expect(on.actor("a").proxy.answers).toEqual([]);
  });

  it("that replays an attempt that is over gets no second set of keys", async () => {
    const on = await five({ rounds: 2 });
    on.play();
    await until(() => on.actor("a").proxy.said("advertise").length === 2);
    const first = on.actor("a").proxy.positions.find(({ phase }) => phase === "open");
    if (first?.phase !== "open") throw new Error("round 1 was open");
    expect(first.opening.body.round).toBe(1);
    on.tamper("a", { position: () => ({ ...first, masking: { step: "advertise", wanted: true } }) });
    on.actor("a").proxy.push({ ...first, masking: { step: "advertise", wanted: true } });
    expect(await on.satOut("a")).toBe("secagg.other-attempt");
    expect(on.actor("a").proxy.said("advertise")).toHaveLength(2);
  });

  it("that mixes a site's keys of the round before among the new ones is refused, naming the site", async () => {
    const on = await five({ rounds: 2 });
    on.tamper("a", {
      shown: inStep("share", (shown) => {
        const [before] = on.actor("b").proxy.said("advertise");
        if (before === undefined || on.openPosition("a").opening.body.round !== 2) return shown;
        const keys = shown.keys.keys.map((signed) => (signed.body.site === "b" ? before.keys : signed));
        return { step: shown.step, keys: { ...shown.keys, keys } };
      }),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.other-attempt: b");
    expect(on.actor("a").proxy.said("share")).toHaveLength(1);
  });

  it("that opens a round for two sites, or for fewer than the plan's least, is believed by none of them", async () => {
    const on = await five({ minSites: 4 });
    on.tamper("a", {
      position: (position) => reopened(on, position, { cohort: siteIds(["a", "b"]) }),
    });
    on.tamper("b", {
      position: (position) => reopened(on, position, { cohort: siteIds(["a", "b", "c"]) }),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.too-few-sites", culprits: [] });
    expect(await on.failure("b")).toEqual({ code: "secagg.too-few-sites", culprits: [] });
    expect(on.actor("a").proxy.answers).toEqual([]);
  });

  it("that lets the cohort shrink from round to round is stopped at the plan's least, whatever came before", async () => {
    const on = await five({ rounds: 2, minSites: 4 });
    on.tamper("a", {
      position(position) {
        if (position.phase !== "open" || position.opening.body.round !== 2) return position;
        return reopened(on, position, { cohort: siteIds(["a", "b", "c"]) });
      },
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.too-few-sites", culprits: [] });
    expect(on.actor("a").proxy.said("advertise")).toHaveLength(1);
  });

  it("that drops sites until one stands almost alone gets no signature, and the lost ones are named", async () => {
    const on = await five();
    on.tamper("a", {
      shown: inStep("consistency", ({ step, survivors }) => ({
        step,
        survivors: { ...survivors, survivors: siteIds(["a", "b", "c"]) },
      })),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.too-few-sites: d, e");
    expect(on.actor("a").proxy.said("consistency")).toEqual([]);
  });

  it("that drops a site although the plan wants all five gets no signature, and the lost one is named", async () => {
    const on = await five({ minSites: 5 });
    on.tamper("a", {
      shown: inStep("consistency", ({ step, survivors }) => ({
        step,
        survivors: { ...survivors, survivors: siteIds(["a", "b", "c", "d"]) },
      })),
    });
    on.play();
    expect(await on.satOut("a")).toBe("secagg.too-few-sites: e");
    expect(on.actor("a").proxy.said("consistency")).toEqual([]);
  });

  it("that withholds what a site dealt, or alters it, gets no vector from the site that it shows it to", async () => {
    const on = await five();
    on.tamper("a", {
      shown: inStep("mask", ({ step, delivery }) => ({
        step,
        delivery: { ...delivery, dealings: delivery.dealings.slice(1) },
      })),
    });
    on.tamper("b", {
      shown: inStep("mask", ({ step, delivery }) => {
        const [first, second, ...rest] = delivery.dealings;
        if (first === undefined || second === undefined) return { step, delivery };
        return {
          step,
          delivery: { ...delivery, dealings: [{ ...first, box: second.box }, second, ...rest] },
        };
      }),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "secagg.equivocation", culprits: [] });
    expect(await on.satOut("b")).toBe("secagg.bad-share: a");
  });

  it("that answers a step with what belongs to another is not understood", async () => {
    const on = await five();
    on.tamper("a", {
      shown: inStep("share", (shown) => ({
        step: "consistency",
        survivors: { context: shown.keys.context, survivors: siteIds(OTHERS) },
      })),
    });
    on.play();
    expect(await on.failure("a")).toEqual({ code: "protocol.invalid-message", culprits: ["step"] });
  });
});
