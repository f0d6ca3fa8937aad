/** An upload whose chunks become smaller each time it is taken up again, as the link becomes slower. */
import { encodeCheckpoint } from "@consilium/shared/codec";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { Bench, seeded, testPlan } from "../testing/coordinator.ts";

type OpenPosition = Extract<FederationPosition, { phase: "open" }>;

const bench = new Bench();
afterAll(() => bench.end());

/** How often it is cut, which size is asked for then, and which of the missing chunks still arrive. */
const lives = fc.array(
  fc.record({
    chunkBytes: fc.constantFrom(1024, 1536, 2048, 3072, 4096, 8192),
    arrive: fc.array(fc.nat(20), { maxLength: 6 }),
    restart: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);

const held = (have: string, seq: number): boolean =>
  ((Buffer.from(have, "base64url")[seq >> 3] ?? 0) & (1 << (seq & 7))) !== 0;

it("arrives whole however its chunks are cut, and nothing that arrived is asked for again", async () => {
  const home = await bench.home();
  let coordinator = await bench.start({ home, plan: testPlan({ rounds: 100, minSites: 1 }) });
  const tensors = [{ name: "weight", shape: [5000], dtype: "float32" as const }];
  const genesis = encodeCheckpoint({ manifest: { tensors }, values: new Float32Array(5000) });
  const site = await bench.site(coordinator, "north", { model: { manifest: { tensors }, genesis } });
  await site.connect();
  await site.uploadGenesis();
  const next = seeded(8);
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(lives, async (all) => {
      const { opening } = await site.waitFor(
        (position): position is OpenPosition =>
          position.phase === "open" && position.opening.body.round > accepted,
      );
      const { header, sealed } = site.contribution(opening.body, site.randomUpdate(next));
      /** Every byte that was acknowledged. */
      const arrived = new Uint8Array(sealed.length);
      const begin = async (chunkBytes: number) => {
        const begun = await site.begin({ kind: "contribution", header }, chunkBytes);
        if ("outcome" in begun) throw new Error("it is wanted");
        for (let seq = 0; seq * begun.chunkBytes < sealed.length; seq++) {
          const bytes = arrived.subarray(seq * begun.chunkBytes, (seq + 1) * begun.chunkBytes);
          expect(held(begun.have, seq)).toBe(bytes.every((byte) => byte === 1));
        }
        return begun;
      };
      let cut = 8192;
      let isNew = true;
      for (const { chunkBytes, arrive, restart } of all) {
        const isFirst = isNew;
        isNew = false;
        const begun = await begin(chunkBytes);
        // By whole parts, never larger than before.
        const cuts = isFirst || (chunkBytes < cut && Number.isInteger(cut / chunkBytes));
        expect(begun.chunkBytes).toBe(cuts ? chunkBytes : cut);
        cut = begun.chunkBytes;
        for (const seq of arrive.filter((at) => at * begun.chunkBytes < sealed.length)) {
          await site.sendChunk(begun, sealed, seq);
          arrived.fill(1, seq * begun.chunkBytes, (seq + 1) * begun.chunkBytes);
        }
        if (!restart) continue;
        await bench.stop(coordinator);
        coordinator = await bench.start({ home, plan: undefined });
        site.disconnect();
        site.url = coordinator.url;
        await site.connect();
      }
      const begun = await begin(cut);
      for (let seq = 0; seq * begun.chunkBytes < sealed.length; seq++) {
        if (!held(begun.have, seq)) await site.sendChunk(begun, sealed, seq);
      }
      expect(await site.commit(begun.upload)).toBe("accepted");
      accepted = opening.body.round;
    }),
    { numRuns: 5, endOnFailure: true },
  );
});
