/** Series of slices that a PACS sends in parts, under a plan for volumes. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { imageKey } from "../../site-agent/src/dataset/keys.ts";
import { listen } from "../../site-agent/src/ingest/sources/dimse/acceptor.ts";
import { allowSenders } from "../../site-agent/src/ingest/sources/peers.ts";
import { receive } from "../../site-agent/src/ingest/sources/receive.ts";
import { writeCtSeries, type CtSeries } from "../../site-agent/src/ingest/testing/ct-series.ts";
import { putSlices, volumeProfile } from "../../site-agent/src/ingest/testing/volume-folder.ts";
import { missingPacsTools } from "../support/orthanc.ts";
import { withSopInstance } from "../support/pacs-files.ts";
import { storescu } from "../support/push-and-kill.ts";

const missing = missingPacsTools();
if (missing !== null) process.stderr.write(`skipped: ${missing} is not here\n`);

const SIZE = 24;
const profile = volumeProfile({
  cachePx: SIZE,
  volume: { depthPx: 16, sliceSpacingMm: 10, pixelSpacingMm: 8 },
  channels: 3,
});
const series: CtSeries = { uid: "2.25.100", slices: 12, rows: 12, columns: 16, spacingMm: [5, 16, 16] };
const secret = new Uint8Array(32).fill(9);
const QUIET_MS = 3000;

let root: string;
let slices: string[];
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "consilium-parts-"));
  const files = await writeCtSeries(series);
  slices = await putSlices(
    root,
    files.map((bytes, n) => withSopInstance(bytes, `${series.uid}.${n + 1}`)),
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

it.skipIf(missing !== null)(
  "a series that comes in two parts is one volume, and one whose rest comes too late grows when it is sent again",
  { timeout: 60_000 },
  async () => {
    const cacheDir = path.join(root, "cache");
    const spoolDir = path.join(root, "spool");
    const stop = new AbortController();
    const cachedSlices = async (): Promise<readonly (number | undefined)[]> => {
      const cache = await openImageCache(cacheDir).catch(() => null);
      cache?.close();
      return cache?.records.map(({ volume }) => volume?.slices) ?? [];
    };
    const waiting = async (): Promise<number> => (await readdir(spoolDir)).length;
    const quarantined: number[] = [];
    const options = {
      cacheDir,
      secret,
      sizePx: SIZE,
      profile,
      threads: 1,
      minimumUsed: 0,
      sourceKey: "0".repeat(32),
      spoolDir,
      quietMs: QUIET_MS,
      signal: stop.signal,
      onProgress: (progress: { readonly quarantined: number }) => void quarantined.push(progress.quarantined),
    };
    const received = receive(options, async (spool) => {
      const listener = await listen({
        spool,
        secret,
        host: "127.0.0.1",
        port: 0,
        aet: "CONSILIUM",
        allowed: await allowSenders("--allow", ["STORESCU@127.0.0.1"]),
        tls: null,
        onStored: () => undefined,
        onRefused: () => undefined,
      });
      const push = async (files: readonly string[]): Promise<void> => {
        expect((await storescu(listener.port, files)).acknowledged.size).toBe(files.length);
      };
      // Every other slice in one association, the rest in the next: neither makes a volume that could be kept.
      const even = slices.slice(0, 8).filter((_, n) => n % 2 === 0);
      await push(even);
      await delay(QUIET_MS / 3);
      await push(slices.slice(0, 8).filter((file) => !even.includes(file)));
      expect(await cachedSlices()).toEqual([]);
      await expect.poll(cachedSlices, { timeout: 20_000 }).toEqual([8]);
      await expect.poll(waiting, { timeout: 20_000 }).toBe(0);
      expect(quarantined.at(-1)).toBe(0);
      // Five slices come when nobody waits for them any more.
      await push(slices.slice(7));
      await expect.poll(waiting, { timeout: 20_000 }).toBe(0);
      expect(await cachedSlices()).toEqual([8]);
      expect(quarantined.at(-1)).toBe(4);
      await push(slices);
      await listener.close();
    });
    // What waits when nothing more will come is read at once.
    expect(await received).toMatchObject({ files: 12, used: 12, quarantined: {} });
    expect(await cachedSlices()).toEqual([12]);
    const cache = await openImageCache(cacheDir);
    expect(cache.records[0]?.image).toBe(imageKey(secret, series.uid));
    cache.close();
  },
);
