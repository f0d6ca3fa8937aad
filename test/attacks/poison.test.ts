/** Twelve real agents and a real coordinator, their updates masked in groups, one of them poisoned. */
import { afterEach, expect, it } from "vitest";
import { readModel } from "../../site-agent/src/home/models.ts";
import { arithmeticTrainer, TestFederation } from "../support/federation.ts";

let federation: TestFederation | null = null;
afterEach(() => federation?.close());

const SITES = 12;
const STEP = 1e-5;

it("a site that sends a hundred times its update moves a federation no further than its groups' median, across a restart of the coordinator", async () => {
  federation = await TestFederation.start({
    rounds: 1,
    minSites: SITES,
    aggregation: { strategy: { name: "group-median" } },
  });
  const running = federation;
  const sites = await Promise.all(
    Array.from({ length: SITES }, (_, i) => running.site(`site-${String.fromCharCode(97 + i)}`)),
  );
  let restarted: Promise<void> | null = null;
  const runs = sites.map((site, i) =>
    site.run(arithmeticTrainer(i === 0 ? 100 * STEP : STEP), {
      onReport({ phase, round }) {
        if (i === 5 && phase === "voting" && round === 1) restarted ??= running.restartCoordinator();
      },
    }),
  );
  await Promise.all(runs.map(({ result }) => result));
  expect(restarted).not.toBeNull();
  const [, honest] = sites;
  if (honest === undefined) throw new Error("there are twelve");
  const { values } = await readModel(honest.home, "global");
  // An average would have moved by 9.25 steps.
  expect(values[500]).toBeCloseTo(0.5 + STEP, 7);
  const status = running.coordinator.federations.all()[0]?.status();
  expect(status?.history).toMatchObject([
    { round: 1, attempt: 1, excluded: [], totals: { groups: { opened: 3, leftOut: [] } } },
  ]);
});
