/** Plans that start from an existing model, against a real coordinator: fetched, continued, checked, and given up. */
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { StartPlan } from "@consilium/shared/start-schema";
import { afterEach, describe, expect, it } from "vitest";
import { startCaptureProxy, type CaptureProxy } from "../../../test/support/capture-proxy.ts";
import { arithmeticTrainer, TestFederation } from "../../../test/support/federation.ts";
import { readModel } from "../home/models.ts";

/** The trainer adds its first byte to every weight. */
const FILE = Uint8Array.from({ length: 600_000 }, (_, i) => (i + 7) % 251);
const START: StartPlan = { sha256: sha256(FILE), bytes: FILE.length, format: "checkpoint", origin: "a test" };
const startFrom = [{ sha256: START.sha256, bytes: START.bytes, read: pieces }];

async function* pieces(): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(FILE);
}

let federation: TestFederation | null = null;
let proxy: CaptureProxy | null = null;
afterEach(async () => {
  await proxy?.close();
  await federation?.close();
  federation = proxy = null;
});

const begin = async (minSites: number): Promise<TestFederation> =>
  (federation = await TestFederation.start({ rounds: 1, minSites, start: START }, { startFrom }));

/** The coordinator's copy of the file. */
async function copyIn({ coordinatorHome }: TestFederation): Promise<string> {
  const blobs = path.join(coordinatorHome, "blobs");
  const names = await readdir(blobs, { recursive: true });
  const found = names.find((name) => path.basename(name) === START.sha256);
  if (found === undefined) throw new Error("the coordinator has no copy");
  return path.join(blobs, found);
}

describe("a plan that starts from an existing model", () => {
  it("has every site fetch it once, train from it, and start again without asking for it", async () => {
    const running = await begin(2);
    const sites = [await running.site("a"), await running.site("b")];
    const runs = sites.map((site) => site.run(arithmeticTrainer(1)));
    await Promise.all(runs.map(({ result }) => result));
    for (const site of sites) {
      const { values } = await readModel(site.home, "global");
      expect(values[500]).toBeCloseTo(7 + 0.5 + 1, 5);
    }
    const starting = runs[0]?.reports.filter(({ phase }) => phase === "starting") ?? [];
    expect(starting.some(({ done, total }) => done === START.bytes && total === START.bytes)).toBe(true);
    const again = sites[0]?.run(arithmeticTrainer(1));
    await again?.result;
    expect(again?.reports.filter(({ phase, done }) => phase === "starting" && done > 0)).toEqual([]);
  });

  it("is fetched on from where an agent was killed, and survives a coordinator that starts again", async () => {
    const running = await begin(1);
    proxy = await startCaptureProxy(running.port);
    const site = await running.site("a", proxy.url);
    const first = site.run(arithmeticTrainer(1), {
      onReport({ phase, done, total }, stop) {
        if (phase === "starting" && done > 0 && done < total) stop.abort();
      },
    });
    await expect(first.result).rejects.toMatchObject({ name: "AbortError" });
    const part = path.join(site.home.checkpointsFolder, `${START.sha256}.part`);
    const heldBytes = (await stat(part)).size;
    expect(heldBytes).toBeGreaterThan(0);
    // Its start sweeps what no row names; this object has none but the plan.
    await running.restartCoordinator();
    const second = site.run(arithmeticTrainer(1));
    await second.result;
    const [resumed] = second.reports.filter(({ phase, done }) => phase === "starting" && done > 0);
    expect(resumed?.done).toBeGreaterThan(heldBytes);
    expect(proxy.captured().toString("latin1")).toContain(`bytes=${heldBytes}-`);
  });

  it("ends a site whose coordinator has lost the file, or keeps sending another", async () => {
    const running = await begin(1);
    const site = await running.site("a");
    const copy = await copyIn(running);
    await rm(copy);
    await expect(site.run(arithmeticTrainer(1)).result).rejects.toMatchObject({ code: "start.missing" });
    await writeFile(copy, FILE.toReversed());
    await expect(site.run(arithmeticTrainer(1), { patience: 0 }).result).rejects.toMatchObject({
      code: "hash.mismatch",
    });
    expect(await readdir(site.home.checkpointsFolder)).toEqual([]);
    // Given once more, it is taken again.
    await rm(copy);
    await running.restartCoordinator();
    await site.run(arithmeticTrainer(1)).result;
  });

  it("is not begun without the file", async () => {
    await expect(TestFederation.start({ rounds: 1, minSites: 1, start: START })).rejects.toMatchObject({
      code: "start.missing",
      culprits: ["lungs"],
    });
  });
});
