/** Membership inference from a model that was trained far too long, without noise and with. */
import { beforeAll, expect, it } from "vitest";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import { phantomCache } from "./membership/images.ts";
import { allowedBy } from "./membership/scores.ts";
import { membership, QUICK, QUICK_PATIENTS, type Exposure } from "./membership/study.ts";

let exposures: readonly Exposure[];
beforeAll(async () => {
  const engine = await createEngine({ threads: 1, device: "cpu" });
  ({ exposures } = await membership(engine, phantomCache(QUICK_PATIENTS), QUICK));
});

function exposureOf(wanted: string): Exposure {
  const exposure = exposures.find(({ what }) => what === wanted);
  if (exposure === undefined) throw new Error(`${wanted} was not tried`);
  return exposure;
}

it("a model that was trained too long gives its patients away to whoever has their images", () => {
  expect(exposureOf("before training").byLoss.auroc.low).toBeLessThan(0.5);
  const { byLoss, memberLoss, otherLoss } = exposureOf("without noise");
  expect(memberLoss).toBeLessThan(otherLoss);
  expect(byLoss.auroc.low).toBeGreaterThan(0.6);
  // More than epsilon 1 would let anybody tell.
  expect(byLoss.advantage).toBeGreaterThan(allowedBy(1, 0).advantage);
});

it("with noise for epsilon 1 the same training tells no more than epsilon allows, and nothing that could be measured", () => {
  const { byLoss, allowed } = exposureOf("epsilon 1");
  expect(byLoss.advantage).toBeLessThan(allowed?.advantage ?? 0);
  expect(byLoss.auroc.high).toBeLessThan(allowed?.auroc ?? 0);
  expect(byLoss.auroc.low).toBeLessThan(0.5);
});
