/** A federation whose models are tried, over real sockets, with a restart while it is paused. */
import path from "node:path";
import { verifyChain } from "@consilium/shared/audit/chain";
import { decodeCheckpoint } from "@consilium/shared/codec";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { afterEach, expect, it } from "vitest";
import type { Coordinator } from "./app.ts";
import { readAuditLines } from "./audit/file.ts";
import { Bench, seeded, smallModel, testPlan } from "./testing/coordinator.ts";
import { isOpen, type FakeSite } from "./testing/fake-site.ts";

let bench = new Bench();
afterEach(async () => {
  await bench.end();
  bench = new Bench();
});

const MOMENTUM = 0.5;
const plan = testPlan({
  rounds: 2,
  aggregation: { secure: "plain", strategy: { name: "fedavgm", momentum: MOMENTUM } },
  acceptance: { maxRollbacks: 1 },
});
const next = seeded(5);

/** All sites send an update, and say how well the round's base did. @returns the mean update */
async function round(sites: readonly FakeSite[], which: readonly [number, number], heldOutLoss: number) {
  const updates = await Promise.all(
    sites.map(async (site) => {
      const { opening } = await site.waitFor(isOpen(...which));
      const values = site.randomUpdate(next);
      const metrics = { loss: 1, finalLoss: 1, steps: 1, updateNorm: 1, trainingMs: 1, heldOutLoss };
      await site.contribute(site.contribution(opening.body, values, { header: { metrics } }));
      return values;
    }),
  );
  return Float64Array.from(updates[0] ?? [], (value, i) => (value + (updates[1]?.[i] ?? NaN)) / 2);
}

async function call(coordinator: Coordinator, path: string, method: "GET" | "POST") {
  const response = await fetch(`${coordinator.url}/api/federations/chest${path}`, {
    method,
    headers: { authorization: `Bearer ${coordinator.operatorToken}` },
  });
  const value: unknown = await response.json();
  return { status: response.status, value };
}

it("takes a worse model back, momentum and all, pauses, survives a restart, and ends once resumed", async () => {
  const home = await bench.home();
  let coordinator = await bench.start({ home, plan });
  const sites = [await bench.site(coordinator, "north"), await bench.site(coordinator, "south")];
  for (const site of sites) await site.connect();
  await sites[0]?.uploadGenesis();

  const first = await round(sites, [1, 1], 1);
  // The model of round 1 is much worse than the initial one: nothing of either round stays.
  await round(sites, [2, 1], 9);
  const paused = async () => federationStatusSchema.parse((await call(coordinator, "", "GET")).value);
  while ((await paused()).phase !== "paused") await new Promise((resolve) => setTimeout(resolve, 10));
  await bench.stop(coordinator);

  coordinator = await bench.start({ home, plan });
  const status = await paused();
  expect(status).toMatchObject({ phase: "paused", round: 2 });
  expect(status.summary).toContain("consilium-coordinator resume");
  expect(status.history.at(-1)?.verdict).toMatchObject({ accepted: false, loss: 9, before: { loss: 1 } });
  for (const site of sites) {
    site.disconnect();
    site.url = coordinator.url;
    await site.connect();
  }
  expect((await call(coordinator, "/resume", "POST")).status).toBe(200);
  expect(await call(coordinator, "/resume", "POST")).toMatchObject({
    status: 409,
    value: { code: "federation.not-paused" },
  });

  const second = await round(sites, [2, 2], 1);
  // One more round tries the last model, and makes none.
  await round(sites, [3, 1], 0.9);
  const finished = await sites[0]?.waitFor((position) => position.phase === "finished");
  if (finished?.phase !== "finished") throw new Error("it is finished");
  expect(finished.checkpoint.body.round).toBe(2);
  const response = await sites[0]?.download(finished.checkpoint.body.sha256);
  const { values } = decodeCheckpoint(new Uint8Array((await response?.arrayBuffer()) ?? []));
  const genesis = decodeCheckpoint(smallModel().genesis).values;
  // The velocity of the round that was taken back is gone: only the second mean moved the model.
  for (const [i, value] of values.entries()) {
    expect(value).toBeCloseTo((genesis[i] ?? NaN) + (second[i] ?? NaN), 5);
  }
  expect(first.some((value) => Math.abs(MOMENTUM * value) > 0.01)).toBe(true);
  const { phase, sites: rows, history } = await paused();
  expect(phase).toBe("finished");
  // The round that tried the last model counts as no update of theirs.
  expect(history.at(-1)?.round).toBe(3);
  expect(rows.map(({ contributions }) => contributions)).toEqual([3, 3]);
  await bench.stop(coordinator);
  const lines = await readAuditLines(path.join(home, "audit.jsonl"));
  expect(verifyChain(lines)).toMatchObject({ ok: true });
  expect(lines.some((line) => line.includes('"event":"audit.closed","data":{"round":3}'))).toBe(true);
});
