/** One masked attempt of sixteen sites in four groups, folded: what a site that lies can do to the model, and what not. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { decodeCheckpoint, encodeCheckpoint } from "@consilium/shared/codec";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { PrivateValues } from "@consilium/shared/secagg/encode";
import { maskedHeader } from "@consilium/shared/secagg/frame";
import { geometryOf } from "@consilium/shared/secagg/layout";
import { required } from "@consilium/shared/secagg/required";
import { addToBlock } from "@consilium/shared/secagg/ring";
import { consortium, wholeVector } from "@consilium/shared/secagg/testing/consortium";
import { layoutFor, valuesOf } from "@consilium/shared/secagg/testing/exactness";
import { runGroups } from "@consilium/shared/secagg/testing/run";
import { strategyOf } from "@consilium/shared/strategy-schema";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { ArrivedSum } from "./arrived-sum.ts";
import { foldMaskedRound, type MaskedFold } from "./fold-masked.ts";

const GROUP_SITES = 4;
const layout = layoutFor(16, "wide", GROUP_SITES);
const federation = consortium(layout);
/** So small that a hundred-fold update is still one that the ranges allow. */
const honest = (site: SiteId): PrivateValues => valuesOf(site, "groups", 0.009);
const attempt = runGroups(federation, honest);
const sites = attempt.flatMap(({ survivors }) => survivors);
const base = Float32Array.from({ length: 42 }, (_, i) => 0.01 * i);
const manifest = {
  tensors: layout.tensors.map(({ name, length }) => ({ name, shape: [length], dtype: "float32" as const })),
};

let folder: string;
let blobs: Blobs;
let baseName: Sha256;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-groups-"));
  blobs = await openFileBlobs(folder);
  ({ sha256: baseName } = await blobs.write([encodeCheckpoint({ manifest, values: base })]));
});
afterAll(() => rm(folder, { recursive: true }));

/** Another update under the masks of the one that the site has sent: nobody can tell. */
function resent(site: SiteId, values: PrivateValues): Uint8Array {
  const bytes = Uint8Array.from(required(required(attempt[0]).vectors.get(site)));
  const block = { offset: 0, bytes };
  addToBlock(geometryOf(layout), block, wholeVector(layout, honest(site), []), -1);
  addToBlock(geometryOf(layout), block, wholeVector(layout, values, []), 1);
  return bytes;
}

async function folded(
  lies: ReadonlyMap<SiteId, Uint8Array>,
  name: "group-median" | "fedavg" = "group-median",
  target: Blobs = blobs,
) {
  const header = maskedHeader(federation.attempt, layout);
  const sums = await Promise.all(
    attempt.map(async ({ unmasking, vectors }) => ({
      unmasking,
      frames: await Promise.all(
        unmasking.survivors.map(async (site) => {
          const { sha256 } = await blobs.write([header, lies.get(site) ?? required(vectors.get(site))]);
          return { site, sha256 };
        }),
      ),
    })),
  );
  const strategy = strategyOf(name === "fedavg" ? name : { name, groupSites: GROUP_SITES });
  const before = await blobs.list();
  const job = { attempt: federation.attempt, layout, base: baseName, strategy, serverState: null, sums };
  const fold: MaskedFold = await foldMaskedRound(job, target, new ArrivedSum());
  const added = (await blobs.list()).filter((one) => !before.includes(one));
  const pieces: Uint8Array[] = [];
  for await (const piece of blobs.read(fold.sha256)) pieces.push(piece);
  return { ...fold, added, values: decodeCheckpoint(Buffer.concat(pieces)).values };
}

/** At each weight, of the groups without this site. */
const honestMeans = (liar: SiteId | null, i: number): number[] =>
  attempt.flatMap(({ survivors, aggregate }) =>
    liar !== null && survivors.includes(liar) ? [] : (aggregate.mean[i] ?? NaN),
  );

describe("a round of groups", () => {
  it("moves each weight by the median of the groups' means, and adds up what else they say", async () => {
    const { values, totals, garbled, added, sha256 } = await folded(new Map());
    for (const [i, value] of values.entries()) {
      const [, low = NaN, high = NaN] = honestMeans(null, i).sort((a, b) => a - b);
      expect(value).toBe(Math.fround((base[i] ?? NaN) + (low + high) / 2));
    }
    expect(garbled).toEqual([]);
    // The groups' means are gone again.
    expect(added.filter((name) => name !== sha256)).toEqual([]);
    const examples = (site: SiteId) => Math.min(honest(site).examples, layout.examplesCap);
    expect(totals.examples).toBe(sites.reduce((sum, site) => sum + examples(site), 0));
  });

  it("is moved by a site that sends a hundred times its update no further than the other groups' means lie", async () => {
    const anySite = fc.constantFrom(...sites);
    const factor = fc.constantFrom(100, -100);
    let averageMoved = 0;
    await fc.assert(
      fc.asyncProperty(anySite, factor, async (liar, times) => {
        const { update, ...rest } = honest(liar);
        const lie = { ...rest, update: update.map((value) => value * times), examples: layout.examplesCap };
        const lies = new Map([[liar, resent(liar, lie)]]);
        const { values, garbled } = await folded(lies);
        const average = await folded(lies, "fedavg");
        expect(garbled).toEqual([]);
        for (const [i, value] of values.entries()) {
          const means = honestMeans(liar, i);
          const start = base[i] ?? NaN;
          const slack = 1e-7;
          expect(value - start).toBeGreaterThanOrEqual(Math.min(...means) - slack);
          expect(value - start).toBeLessThanOrEqual(Math.max(...means) + slack);
          const moved = (average.values[i] ?? NaN) - start;
          if (moved > Math.max(...means) + slack || moved < Math.min(...means) - slack) averageMoved += 1;
        }
      }),
      { numRuns: 4, seed: 3 },
    );
    // Where the groups are averaged, the same lie carries most weights away.
    expect(averageMoved).toBeGreaterThan(2 * 42);
  });

  it("goes on without the group of a site that sends noise, and names it", async () => {
    const liar = required(sites[0]);
    const noise = resent(liar, honest(liar)).map((byte, i) => byte ^ (i * 37));
    const { values, totals, garbled } = await folded(new Map([[liar, noise]]));
    expect(garbled).toEqual([attempt.findIndex(({ survivors }) => survivors.includes(liar))]);
    for (const [i, value] of values.entries()) {
      const [, middle = NaN] = honestMeans(liar, i).sort((a, b) => a - b);
      expect(value).toBe(Math.fround((base[i] ?? NaN) + middle));
    }
    expect(totals.examples).toBeLessThan(16 * layout.examplesCap);
  });

  it("gives the same bits again, also after a death between two groups", async () => {
    const once = await folded(new Map());
    let writes = 0;
    const dying: Blobs = {
      write: (source) => (++writes === 2 ? Promise.reject(new Error("died")) : blobs.write(source)),
      read: (name, range) => blobs.read(name, range),
      scan: (name, range) => blobs.scan(name, range),
      sizeOf: (name) => blobs.sizeOf(name),
      remove: (name) => blobs.remove(name),
      list: () => blobs.list(),
      stage: (upload) => blobs.stage(upload),
      staged: () => blobs.staged(),
    };
    await expect(folded(new Map(), "group-median", dying)).rejects.toThrow("died");
    expect((await folded(new Map())).sha256).toBe(once.sha256);
  });

  it("makes no model of two groups", async () => {
    const liars = attempt.slice(0, 2).map(({ survivors }) => required(survivors[0]));
    const noise = (site: SiteId) => resent(site, honest(site)).map((byte, i) => byte ^ (i * 37));
    const before = await blobs.list();
    await expect(folded(new Map(liars.map((site) => [site, noise(site)])))).rejects.toMatchObject({
      code: "secagg.garbled",
      culprits: attempt.slice(0, 2).flatMap(({ survivors }) => survivors),
    });
    // Frames alone are new.
    expect((await blobs.list()).length).toBeLessThanOrEqual(before.length + liars.length);
  });
});
