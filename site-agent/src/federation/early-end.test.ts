/** A federation that ends before its last round, as the agents and whoever reads the status see it. */
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { afterEach, expect, it } from "vitest";
import { z } from "zod";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";
import { witnessedHeads } from "../governance/audit-witness.ts";
import type { Trainer } from "../training/types.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

/** Each round adds 1 to every weight, and the model of round 2 is the best. */
function overfitting(): Trainer {
  const inner = arithmeticTrainer(1);
  return {
    ...inner,
    async train(request, ...rest) {
      const result = await inner.train(request, ...rest);
      const heldOutLoss = 1 + Math.abs((request.base[0] ?? NaN) - 2) / 100;
      return { ...result, metrics: { ...result.metrics, heldOutLoss } };
    },
  };
}

it("ends with the best model, and says why at the sites and in the status, also after a restart", async () => {
  const running = (federation = await TestFederation.start({
    rounds: 50,
    minSites: 2,
    acceptance: {},
    stop: { patience: 2 },
  }));
  const sites = [await running.site("a"), await running.site("b")];
  const stopped = { round: 5, tries: 2, bestLoss: 1 };
  const results = await Promise.all(sites.map((site) => site.run(overfitting()).result));
  for (const [i, site] of sites.entries()) {
    expect(results[i]).toMatchObject({ stopped, rounds: 2 });
    expect((await readModel(site.home, "global")).values[0]).toBeCloseTo(2, 5);
    // The end is countersigned as well, though its round made no model.
    const heads = await witnessedHeads(site.home.auditHeadsFile).of(
      running.coordinator.federations.all()[0]?.federation ?? ("" as never),
    );
    expect(heads.map(({ round }) => round)).toEqual([1, 2, 3, 4, 5]);
  }
  await running.restartCoordinator();
  const response = await fetch(`${running.coordinator.url}/api/federations`, {
    headers: { authorization: `Bearer ${running.coordinator.operatorToken}` },
  });
  const [status] = z.array(federationStatusSchema).parse(await response.json());
  expect(status).toMatchObject({ phase: "finished", stopped, checkpoint: results[0]?.checkpoint });
  expect(status?.summary).toContain("Ended early, in round 5");
  expect(await sites[0]?.run(overfitting()).result).toMatchObject({ stopped, contributions: 0 });
});
