/** Whole federations over real sockets. */
import { decodeCheckpoint } from "@consilium/shared/codec";
import { verify } from "@consilium/shared/crypto/identity";
import { sha256 } from "@consilium/shared/canonical";
import { afterEach, describe, expect, it } from "vitest";
import { Bench, seeded, smallModel } from "./testing/coordinator.ts";
import { isOpen, type FakeSite } from "./testing/fake-site.ts";

let bench = new Bench();
afterEach(async () => {
  await bench.end();
  bench = new Bench();
});

/** base + sum of weight x update, in float64, rounded once. */
function expectedMean(base: Float32Array, updates: readonly { examples: number; values: Float32Array }[]) {
  const total = updates.reduce((sum, { examples }) => sum + examples, 0);
  return base.map((weight, i) =>
    updates.reduce((sum, { examples, values }) => sum + (examples / total) * (values[i] ?? NaN), weight),
  );
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? NaN))), 0);
}

async function connectAll(sites: readonly FakeSite[]): Promise<void> {
  for (const site of sites) await site.connect();
  await sites[0]?.uploadGenesis();
}

describe("a federation", () => {
  it("averages three rounds to the weighted mean and ends with a signed checkpoint", async () => {
    const coordinator = await bench.start({ home: await bench.home() });
    const sites = [
      await bench.site(coordinator, "north", { examples: 10 }),
      await bench.site(coordinator, "south", { examples: 30 }),
      await bench.site(coordinator, "west", { examples: 5 }),
    ];
    await connectAll(sites);
    const next = seeded(7);
    let model = decodeCheckpoint(smallModel().genesis).values;
    for (const round of [1, 2, 3]) {
      const updates = await Promise.all(
        sites.map(async (site) => {
          const { opening } = await site.waitFor(isOpen(round));
          expect(opening.body.cohort).toEqual(["north", "south", "west"]);
          const values = site.randomUpdate(next);
          expect(await site.contribute(site.contribution(opening.body, values))).toBe("accepted");
          return { examples: site.examples, values };
        }),
      );
      model = expectedMean(model, updates);
    }
    const [site] = sites;
    if (site?.enrolment == null) throw new Error("there are sites");
    const finished = await site.waitFor((position) => position.phase === "finished");
    const record = verify("checkpoint", finished.checkpoint, site.enrolment.coordinator);
    expect(record).toMatchObject({ round: 3, sites: ["north", "south", "west"] });

    const response = await site.download(record.sha256);
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(sha256(bytes)).toBe(record.sha256);
    expect(largestDifference(decodeCheckpoint(bytes).values, model)).toBeLessThan(1e-6);
  });
});
