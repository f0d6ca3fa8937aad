/** Whole federations over real sockets. */
import { decodeCheckpoint } from "@consilium/shared/codec";
import { verify } from "@consilium/shared/crypto/identity";
import { sha256 } from "@consilium/shared/canonical";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import pino from "pino";
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
    expect(record).toMatchObject({ round: 3, sites: ["north", "south", "west"], images: 45 });

    const response = await site.download(record.sha256);
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(sha256(bytes)).toBe(record.sha256);
    expect(largestDifference(decodeCheckpoint(bytes).values, model)).toBeLessThan(1e-6);

    const part = await site.download(record.sha256, { range: "bytes=5-104" });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes 5-104/${bytes.length}`);
    expect(new Uint8Array(await part.arrayBuffer())).toEqual(bytes.slice(5, 105));
    const nothing = await site.download(record.sha256, { range: `bytes=${bytes.length}-` });
    expect(nothing.status).toBe(416);
  });

  it("gives nobody a sealed update, not even while it is needed", async () => {
    const coordinator = await bench.start({ home: await bench.home() });
    const sites = [await bench.site(coordinator, "north"), await bench.site(coordinator, "south")];
    await connectAll(sites);
    const [north, south] = sites;
    if (north === undefined || south === undefined) throw new Error("there are two");
    const { opening } = await north.waitFor(isOpen(1));
    const { header, sealed } = north.contribution(opening.body, north.randomUpdate(seeded(1)));
    await north.contribute({ header, sealed });
    for (const bearer of [south.session, north.session, coordinator.operatorToken]) {
      const response = await fetch(`${coordinator.url}/api/blobs/${header.body.sealedSha256}`, {
        headers: { authorization: `Bearer ${bearer}` },
      });
      expect(response.status).toBe(404);
    }
  });

  it("tells the dashboard of each change as server-sent events", async () => {
    const coordinator = await bench.start({ home: await bench.home() });
    const response = await fetch(`${coordinator.url}/api/federations/chest/events`, {
      headers: { authorization: `Bearer ${coordinator.operatorToken}` },
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const summaries: string[] = [];
    const next = async (matches: string): Promise<void> => {
      while (!(summaries.at(-1) ?? "").includes(matches)) {
        const { value = "" } = (await reader?.read()) ?? {};
        for (const [, data] of value.matchAll(/^data: (.*)$/gm)) {
          summaries.push(federationStatusSchema.parse(JSON.parse(data ?? "")).summary);
        }
      }
    };
    await next("0 of at least 2 enrolled");
    const sites = [await bench.site(coordinator, "north"), await bench.site(coordinator, "south")];
    await next("0 of at least 2 connected");
    await connectAll(sites);
    await next("Round 1: 0 of 2 updates are here; waiting for north (has not begun), south (has not begun).");
    await reader?.cancel();
  });

  it("logs no key, token, address, secret or number of a model", async () => {
    let logged = "";
    const logger = pino({ level: "trace" }, { write: (text: string) => (logged += text) });
    const coordinator = await bench.start({ home: await bench.home(), logger });
    const sites = [await bench.site(coordinator, "north"), await bench.site(coordinator, "south")];
    await connectAll(sites);
    await fetch(`${coordinator.url}/api/federations?token=${coordinator.operatorToken}&q=CANARY`);
    const secrets = sites.flatMap((site) => [
      site.session,
      site.identity.public.signingKey,
      site.identity.public.sealingKey,
    ]);
    for (const secret of [...secrets, coordinator.operatorToken, "CANARY", "authorization", "/tmp/"]) {
      expect(logged).not.toContain(secret);
    }
    expect(logged).toContain("round.opened");
  });
});
