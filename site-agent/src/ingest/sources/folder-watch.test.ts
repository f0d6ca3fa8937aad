import { appendFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openImageCache } from "../../dataset/cache.ts";
import { readIntake } from "../../dataset/intake.ts";
import type { IntakeSummary } from "../ingest.ts";
import { writeDicom } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { watchFolder } from "./folder-watch.ts";

let root: string;
let folder: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-watch-"));
  folder = join(root, "in");
  await mkdir(join(folder, "sub"), { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const dicom = (n: number): Promise<Uint8Array> =>
  writeDicom(syntheticImage({ seed: n }), { elements: [["00080018", "UI", `2.25.${n}`]] });

/** Watches with a clock of its own: before each look one of `steps` happens, and after the last the watching ends. */
async function watchWhile(steps: readonly (() => Promise<void>)[]): Promise<IntakeSummary[]> {
  const stop = new AbortController();
  const seen: IntakeSummary[] = [];
  const pending = [...steps];
  let clockMs = 0;
  const watching = watchFolder({
    folder,
    cacheDir: join(root, "cache"),
    secret: new Uint8Array(32).fill(9),
    sizePx: 16,
    threads: 1,
    pollMs: 1000,
    settleMs: 1000,
    nowMs: () => clockMs,
    signal: stop.signal,
    sleep: async () => {
      clockMs += 1000;
      const step = pending.shift();
      if (step === undefined) stop.abort(new Error("watched enough"));
      else await step();
    },
    onCaughtUp: (summary) => void seen.push(summary),
  });
  await expect(watching).rejects.toThrow("watched enough");
  return seen;
}

const rest = (): Promise<void> => Promise.resolve();

it("reads each file once, when it has settled, wherever it appears", async () => {
  const whole = Buffer.from(await dicom(3));
  await writeFile(join(folder, "a.dcm"), await dicom(1));
  const growing = join(folder, "sub", "c.dcm");
  const seen = await watchWhile([
    rest,
    async () => writeFile(join(folder, "b.dcm"), await dicom(2)),
    () => writeFile(growing, whole.subarray(0, 500)),
    () => appendFile(growing, whole.subarray(500)),
    rest,
    async () => writeFile(join(folder, "again.dcm"), await dicom(1)),
    rest,
    rest,
  ]);
  expect(seen.map(({ files, used }) => ({ files, used }))).toEqual([
    { files: 1, used: 1 },
    { files: 2, used: 2 },
    { files: 3, used: 3 },
    { files: 4, used: 3 },
  ]);
  expect(seen.at(-1)?.quarantined).toEqual({ "dicom.duplicate": 1 });
  const cache = await openImageCache(join(root, "cache"));
  expect(cache.records).toHaveLength(3);
  cache.close();
  const manifest = await readFile(join(root, "cache", "manifest.jsonl"), "utf8");
  expect(manifest.trimEnd().split("\n")).toHaveLength(4);
});

it("reads a file again that was changed after it was set aside, and counts it once", async () => {
  const file = join(folder, "a.dcm");
  const whole = await dicom(1);
  await writeFile(file, whole.subarray(0, -100));
  const seen = await watchWhile([
    rest,
    async () => {
      await writeFile(join(folder, ".new"), whole);
      await rename(join(folder, ".new"), file);
    },
    rest,
    rest,
  ]);
  expect(seen[0]).toMatchObject({
    files: 1,
    used: 0,
    quarantined: { "dicom.truncated": 1 },
    needsApproval: true,
  });
  expect(seen.at(-1)).toMatchObject({ files: 1, used: 1, quarantined: {}, needsApproval: false });
  expect(Object.values((await readIntake(join(root, "cache"))).folders)).toHaveLength(1);
});
