import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageCache } from "../dataset/cache.ts";
import { pretextTask } from "../pretext/index.ts";
import { createLoader } from "./loader.ts";
import { roundBatches, stepsPerRound } from "./round-batches.ts";
import type { Batch } from "./types.ts";
import { toyPlan, writeToyCache } from "./testing/toy.ts";

const IMAGES = 40;
const PLAN = toyPlan({ localEpochs: 2 });
const STEPS = stepsPerRound(PLAN, IMAGES);

let root: string;
let cacheDir: string;
const loader = createLoader();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-loader-"));
  cacheDir = join(root, "train");
  await writeToyCache(cacheDir, IMAGES);
});

afterAll(async () => {
  await loader.close();
  await rm(root, { recursive: true, force: true });
});

const request = (round: number) => ({ plan: PLAN, round, seed: 3, cacheDir });

/** The same batches, made here. */
async function expected(round: number): Promise<Batch[]> {
  const cache = await openImageCache(cacheDir);
  const batches = [...roundBatches(request(round), pretextTask(PLAN), cache)];
  cache.close();
  return batches;
}

async function collect(round: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of loader.load(request(round))) batches.push(batch);
  return batches;
}

describe("the loading thread", () => {
  it("makes the batches that this thread would make, every round anew", async () => {
    const first = await collect(1);
    expect(first).toHaveLength(STEPS);
    expect(first).toEqual(await expected(1));
    const second = await collect(2);
    expect(second).toEqual(await expected(2));
    expect(second).not.toEqual(first);
  });

  it("starts a round over when the one before was left in its middle", async () => {
    for await (const batch of loader.load(request(1))) {
      expect(batch["images"]).toBeInstanceOf(Uint8Array);
      break;
    }
    loader.load(request(2)); // never looked at
    expect(await collect(1)).toEqual(await expected(1));
  });

  it("says which cache it cannot read, and reads the next one", async () => {
    const damaged = join(root, "damaged");
    await writeToyCache(damaged, IMAGES);
    await writeFile(join(damaged, "shard-00000.u8"), new Uint8Array(10));
    const broken = loader.load({ ...request(1), cacheDir: damaged });
    await expect(broken.next()).rejects.toMatchObject({ code: "cache.corrupt" });
    const absent = loader.load({ ...request(1), cacheDir: join(root, "absent") });
    await expect(absent.next()).rejects.toMatchObject({ code: "cache.missing" });
    expect(await collect(1)).toHaveLength(STEPS);
  });
});
