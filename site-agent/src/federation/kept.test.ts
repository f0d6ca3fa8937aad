/** Weights that stay at a site, over a federation's rounds: a restart of the agent, another attempt, and the end. */
import { planHash } from "@consilium/shared/plan";
import { afterEach, describe, expect, it } from "vitest";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import type { Trainer } from "../training/types.ts";
import { readHead } from "./outbox.ts";

let federation: TestFederation | null = null;
afterEach(async () => {
  await federation?.close();
  federation = null;
});

/** Counts its rounds in what it keeps. */
function counting(hold: (round: number) => Promise<unknown> = () => Promise.resolve()) {
  const begun: (number | null)[] = [];
  const inner = arithmeticTrainer(1e-4, 1000, ({ round }) => hold(round));
  const train: Trainer["train"] = async (request, onProgress, signal) => {
    const before = request.kept?.[0] ?? null;
    begun.push(before);
    const result = await inner.train(request, onProgress, signal);
    return { ...result, kept: new Float32Array([(before ?? 0) + 1]) };
  };
  return { begun, trainer: { ...inner, train } };
}

describe("the weights that a site keeps in a masked federation", () => {
  it("go on from the round before, also after the agent was killed in the middle, and are left at the end", async () => {
    const running = (federation = await TestFederation.start({
      rounds: 3,
      minSites: 3,
      aggregation: { secure: "masked" },
      health: null,
    }));
    const sites = [await running.site("a"), await running.site("b"), await running.site("c")] as const;
    const never = new Promise<never>(() => undefined);
    const killed = counting((round) => (round === 2 ? never : Promise.resolve()));
    const others = [counting(), counting()] as const;
    const first = sites[0].run(killed.trainer);
    const runs = [sites[1].run(others[0].trainer), sites[2].run(others[1].trainer)];
    await first.waitFor(({ phase, round }) => phase === "training" && round === 2);
    await first.stop();
    const again = counting();
    runs.push(sites[0].run(again.trainer));
    await Promise.all(runs.map(({ result }) => result));
    expect(killed.begun).toEqual([null, 1]);
    expect(again.begun).toEqual([1, 2]);
    expect(others[0].begun).toEqual([null, 1, 2]);
    for (const { home } of sites) {
      const { plan } = await home.joined();
      expect(await readHead(home.federationFolder, planHash(plan))).toEqual(new Float32Array([3]));
    }
  });
});
