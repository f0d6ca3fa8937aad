/**
 * Whoever reaches the port may open, drip, pour and lie. Each attack is told by what becomes of it: the coordinator lets go
 * of the attackers, its memory grows by no more than is said here (and in docs/operations.md), and a site goes on.
 */
import { execFileSync } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { BULK_NAMESPACE } from "@consilium/shared/protocol/events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isOpen, openSocket } from "../../coordinator/src/testing/fake-site.ts";
import type { Losses } from "./support/attacks.ts";
import { Siege } from "./support/siege.ts";

/** Node lifts the soft limit to the hard one by itself. */
const maxOpenFiles = (() => {
  const text = execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).trim();
  return text === "unlimited" ? Infinity : Number(text);
})();

let siege: Siege;
afterEach(() => siege.lift());

/** Asks until it is so; the test's own limit of time ends it. */
async function until(
  attackers: { losses(): Promise<Losses> },
  holds: (losses: Losses) => boolean,
): Promise<Losses> {
  for (;;) {
    const losses = await attackers.losses();
    if (holds(losses)) return losses;
    await delay(200);
  }
}

/** Measured growth in MiB, said aloud because docs/operations.md states it. */
async function grownFrom(before: number, attack: string): Promise<number> {
  const grown = (await siege.rssMiB()) - before;
  console.info(`${attack}: ${Math.round(grown)} MiB more`);
  return grown;
}

describe("from before the door", () => {
  beforeEach(async () => {
    siege = await Siege.lay();
  });

  it.skipIf(maxOpenFiles < 12_000)(
    "10,000 idle connections that always come back keep no site out (skipped where ulimit -Hn is below 12,000)",
    async () => {
      const before = await siege.rssMiB();
      const south = await siege.site("south");
      await south.connect();
      const attackers = await siege.attack({ attack: "idle", count: 10_000, againPerSecond: 500 });
      // Who was there goes on, who comes gets in, and their round opens.
      expect(await south.uploadGenesis()).toBe("accepted");
      const north = await siege.site("north");
      await north.connect();
      await Promise.all([north, south].map((site) => site.waitFor(isOpen(1))));
      expect([south.control?.connected, south.bulk?.connected]).toEqual([true, true]);
      const { open, opened, ended } = await attackers.losses();
      expect(opened).toBeGreaterThanOrEqual(10_000);
      expect(ended).toBeGreaterThan(1_000);
      expect(open).toBeGreaterThan(4_000);
      expect(await grownFrom(before, "10,000 idle connections")).toBeLessThan(400);
    },
  );

  it("senders of headers that never end, of upgrades and of nothing are let go", async () => {
    const before = await siege.rssMiB();
    const attacks = ["slow-headers", "slow-upgrade", "idle"] as const;
    const attackers = await Promise.all(attacks.map((attack) => siege.attack({ attack, count: 500 })));
    expect(await siege.errand("north")).toBe("accepted");
    expect(await grownFrom(before, "1,500 slow senders")).toBeLessThan(150);
    for (const [i, one] of attackers.entries()) {
      const { answers } = await until(one, ({ open }) => open === 0);
      if (attacks[i] !== "idle") expect(answers).toEqual({ "HTTP/1.1 408 Request Timeout": 500 });
    }
  });

  it("a body that never ends is refused after its first 64 KiB", async () => {
    const before = await siege.rssMiB();
    const large = { method: "POST", body: `"${"x".repeat(65_536)}"` };
    const headers = { "content-type": "application/json" };
    const refused = await fetch(`${siege.access.url}/api/enrolments`, { ...large, headers });
    expect(await refused.json()).toMatchObject({ code: "protocol.invalid-message" });
    const attackers = await siege.attack({ attack: "endless-body", count: 50 });
    expect(await siege.errand("north")).toBe("accepted");
    const { answers } = await until(attackers, ({ open }) => open === 0);
    expect(Object.keys(answers)).toEqual(["HTTP/1.1 400 Bad Request"]);
    expect(await grownFrom(before, "50 endless bodies")).toBeLessThan(150);
  });

  it("what is sent behind an upgrade without a session is never decoded", async () => {
    const before = await siege.rssMiB();
    const attackers = await siege.attack({ attack: "early-frame", count: 50 });
    expect(await siege.errand("north")).toBe("accepted");
    const { answers } = await until(attackers, ({ open }) => open === 0);
    expect(Object.keys(answers)).toEqual(["HTTP/1.1 400 Bad Request"]);
    expect(await grownFrom(before, "50 early messages of 256 MiB")).toBeLessThan(150);
  });
});

describe("from behind the door, with a session,", () => {
  beforeEach(async () => {
    siege = await Siege.lay({ heartbeatTimeoutMs: 3_000 });
  });

  it("sockets that join nothing are let go after five seconds", async () => {
    const { session } = await siege.site("south");
    const attackers = await siege.attack({ attack: "never-joins", count: 20, session });
    expect((await attackers.losses()).open).toBe(20);
    expect(await siege.errand("north")).toBe("accepted");
    await until(attackers, ({ open }) => open === 0);
  });

  it("one site gets no more sockets than its share, whatever it holds back of a message is let go, and others go on", async () => {
    const before = await siege.rssMiB();
    const { session } = await siege.site("south");
    const attackers = await siege.attack({ attack: "half-frame", count: 200, session });
    const { answers } = await until(attackers, ({ open }) => open <= 32);
    expect(answers).toMatchObject({ "HTTP/1.1 101 Switching Protocols": 32 });
    await expect(openSocket(siege.access.url + BULK_NAMESPACE, session)).rejects.toThrow("websocket error");
    expect(await siege.errand("north")).toBe("accepted");
    // 32 times a little less than 4 MiB + 64 KiB.
    expect(await grownFrom(before, "32 halves of messages")).toBeLessThan(300);
    await until(attackers, ({ open }) => open === 0);
  });

  it("a message that announces a million attachments ends its connection", async () => {
    const before = await siege.rssMiB();
    const { session } = await siege.site("south");
    const attackers = await siege.attack({ attack: "attachment-bomb", count: 30, session });
    expect(await siege.errand("north")).toBe("accepted");
    await until(attackers, ({ open }) => open === 0);
    expect(await grownFrom(before, "30 attachment bombs")).toBeLessThan(200);
  });

  it("a message of a GiB ends its connection at its first bytes", async () => {
    const before = await siege.rssMiB();
    const { session } = await siege.site("south");
    const attackers = await siege.attack({ attack: "oversize-frame", count: 30, session });
    expect(await siege.errand("north")).toBe("accepted");
    await until(attackers, ({ open }) => open === 0);
    expect(await grownFrom(before, "30 messages of a GiB")).toBeLessThan(200);
  });
});
