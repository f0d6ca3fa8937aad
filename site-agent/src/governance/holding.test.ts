import { createIdentity } from "@consilium/shared/crypto/identity";
import type { FederationId, SiteId } from "@consilium/shared/ids";
import { HOLD_LASTS_MS } from "@consilium/shared/protocol/hold";
import { expect, it } from "vitest";
import { Pause } from "../training/pause.ts";
import { Holding } from "./holding.ts";

const FEDERATION = "lungs" as FederationId;
const HELD = { reason: "hours", text: "outside the hours of work", untilMs: null } as const;
const HOUR_MS = 60 * 60_000;

const keys = createIdentity((length) => new Uint8Array(length).fill(7));
const membership = {
  federation: FEDERATION,
  site: "north" as SiteId,
  identity: keys,
  coordinator: keys.public,
};

it.each(["before it begins", "while it trains"])(
  "a site that waits %s says so again and again before the coordinator forgets it",
  async (when) => {
    let nowMs = 0;
    const saidAtMs: number[] = [];
    const controller = new AbortController();
    const holding = new Holding(
      {
        http: {
          post: (_path, _body, reply) => {
            saidAtMs.push(nowMs);
            return Promise.resolve(reply.parse({}));
          },
          read: () => Promise.reject(new Error("nothing is read")),
          get: () => Promise.reject(new Error("nothing is fetched")),
        },
        receipts: { add: () => Promise.resolve() },
        gate: { hold: () => Promise.resolve(HELD), pause: () => Promise.resolve(HELD) },
        nowMs: () => nowMs,
        sleep: async (durationMs) => {
          // Whatever was begun meanwhile ends.
          await new Promise(setImmediate);
          nowMs += durationMs;
          if (nowMs > HOUR_MS) controller.abort(new Error("enough"));
        },
      },
      membership,
      { model: 10, update: 10 },
    );
    const ended = new Promise((resolve) => {
      controller.signal.addEventListener("abort", resolve);
    });
    if (when === "while it trains") {
      const end = holding.watch(new Pause(), "session", () => undefined);
      await ended;
      end();
    } else {
      await expect(holding.whileHeld("session", () => undefined, controller.signal)).rejects.toThrow(
        "enough",
      );
    }
    const gaps = saidAtMs.slice(1).map((atMs, i) => atMs - (saidAtMs[i] ?? 0));
    expect(saidAtMs[0]).toBe(0);
    expect(saidAtMs.length).toBeGreaterThan(10);
    // One that is lost does not matter.
    expect(Math.max(...gaps)).toBeLessThan(HOLD_LASTS_MS / 2);
  },
);
