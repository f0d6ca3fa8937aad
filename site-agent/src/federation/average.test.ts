/** A federation that ends with a running average of its models, plain and masked, over a coordinator that starts again. */
import { decodeCheckpoint } from "@consilium/shared/codec";
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";

const DECAY = 0.5;

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

async function get({ coordinator }: TestFederation, path: string): Promise<Response> {
  const headers = { authorization: `Bearer ${coordinator.operatorToken}` };
  return fetch(`${coordinator.url}/api/${path}`, { headers });
}

async function statusOf(running: TestFederation): Promise<FederationStatus> {
  const [status] = z.array(federationStatusSchema).parse(await (await get(running, "federations")).json());
  if (status === undefined) throw new Error("there is a federation");
  return status;
}

describe.each(["plain", "masked"] as const)("a %s federation", (secure) => {
  it("hands out the average of its models, signed as such, and trains from the models themselves", async () => {
    const average = { decay: DECAY };
    const running = (federation = await TestFederation.start({
      rounds: 4,
      minSites: 3,
      average,
      aggregation: { secure },
    }));
    const sites = [await running.site("a"), await running.site("b"), await running.site("c")];
    const bases: number[] = [];
    const trainers = sites.map((_, i) =>
      arithmeticTrainer(i * 1e-4, 50, ({ round, base }) => {
        if (i === 0) bases[round] = base[7] ?? NaN;
        return Promise.resolve();
      }),
    );
    const runs = sites.map((site, i) => site.run(trainers[i] ?? arithmeticTrainer(0)));
    await runs[0]?.waitFor(({ phase, round }) => phase === "training" && round === 3);
    await running.restartCoordinator();
    const results = await Promise.all(runs.map(({ result }) => result));

    const status = await statusOf(running);
    const models: number[] = [];
    for (const { checkpoint } of status.history) {
      if (checkpoint === null) continue;
      const response = await get(running, `blobs/${checkpoint}`);
      models.push(decodeCheckpoint(new Uint8Array(await response.arrayBuffer())).values[7] ?? NaN);
    }
    expect(models).toHaveLength(4);
    // Each round went on from the newest model.
    expect(bases.slice(2)).toEqual(models.slice(0, -1));
    const weights = models.map((_, i) => DECAY ** (3 - i));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const expected = models.reduce((sum, model, i) => sum + (model * (weights[i] ?? 0)) / total, 0);
    expect(Math.abs(expected - (models[3] ?? NaN))).toBeGreaterThan(1e-5);
    for (const [i, { home }] of sites.entries()) {
      const held = await readModel(home, "global");
      expect(held.values[7]).toBeCloseTo(expected, 6);
      expect(held.sha256).toBe(status.average);
      expect(results[i]?.checkpoint).toBe(status.average);
      expect(held.record).toMatchObject({
        round: 4,
        parent: status.checkpoint,
        average: { decay: DECAY, models: 4 },
      });
    }
    // Of the averages on the way none is kept.
    expect(status.average).not.toBe(status.checkpoint);
    const again = await sites[0]?.run(arithmeticTrainer(0, 50)).result;
    expect(again?.checkpoint).toBe(status.average);
  });
});
