/** What a site learns of how its images compare, against a real coordinator on 127.0.0.1. */
import { emptyCounts, fingerprintFrom } from "@consilium/shared/fingerprint/histogram";
import { afterEach, beforeEach, expect, it } from "vitest";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { receiptsFile } from "./receipts.ts";

let federation: TestFederation;
beforeEach(async () => {
  federation = await TestFederation.start({ rounds: 1, minSites: 3 });
});
afterEach(() => federation.close());

function imagesOf(bodyPart: number): Uint32Array {
  const counts = emptyCounts();
  counts.bodyPart[bodyPart] = 1;
  return fingerprintFrom(counts);
}

it("each site is told before it trains how far its images are from the others', and puts what it sent on record", async () => {
  const [chests, knees] = [imagesOf(2), imagesOf(8)];
  const sites = await Promise.all(["a", "b", "c"].map((name) => federation.site(name)));
  const told: number[] = [];
  const runs = sites.map((site, i) => {
    const run = site.run(
      // A round waits for its training, so what is known when it begins was known before.
      arithmeticTrainer(1, 10, async () => {
        await run.waitFor(() => run.cohorts.length > 0);
        told.push(run.cohorts.length);
      }),
      { fingerprint: i === 2 ? knees : chests },
    );
    return run;
  });
  await Promise.all(runs.map(({ result }) => result));
  expect(told).toEqual([1, 1, 1]);
  expect(runs.map(({ cohorts }) => cohorts.map(({ sites: known }) => known))).toEqual([[3], [3], [3]]);
  expect(runs.map(({ cohorts }) => cohorts[0]?.comparison?.unlike)).toEqual([[], [], ["bodyPart"]]);
  for (const { home } of sites) {
    const left = await receiptsFile(home.receiptsFile).list();
    const states = left.filter(({ kind }) => kind === "fingerprint").map(({ state }) => state);
    expect(states).toEqual(["sending", "accepted"]);
  }
});
