import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREY_IMAGES, inputProfileHash } from "@consilium/shared/input-profile";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cacheLayout, type CachedRecord, type CacheLayout } from "./cache-format.ts";
import { CacheWriter } from "./cache-writer.ts";
import { openImageCache } from "./cache.ts";
import { inOrder } from "./in-order.ts";
import { recordBytes } from "./types.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-cache-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const SIZE = 8;
const key = (n: number): string => n.toString(16).padStart(32, "0");
const record = (n: number): CachedRecord => ({
  image: key(n),
  patient: key(1_000_000 + n),
  modality: "CR",
  view: n % 2 === 0 ? "AP" : null,
  bodyPart: "CHEST",
  rows: 10 + n,
  columns: 20,
});
const pixels = (n: number): Uint8Array =>
  Uint8Array.from({ length: SIZE ** 2 }, (_, i) => (n * 31 + i) & 255);

async function fill(from: number, to: number, commitEvery = 1000): Promise<void> {
  const writer = await CacheWriter.open(dir, SIZE);
  for (let n = from; n < to; n++) {
    await writer.append(record(n), pixels(n));
    if (n % commitEvery === 0) await writer.commit();
  }
  await writer.commit();
  await writer.close();
}

async function expectImages(...numbers: readonly number[]): Promise<void> {
  const cache = await openImageCache(dir);
  expect(cache.records).toEqual(numbers.map(record));
  const out = new Uint8Array(numbers.length * SIZE ** 2);
  cache.read(
    numbers.map((_, i) => i),
    out,
  );
  for (const [i, n] of numbers.entries())
    expect(out.subarray(i * SIZE ** 2, (i + 1) * SIZE ** 2)).toEqual(pixels(n));
  cache.close();
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe("the image cache", () => {
  it("gives back what was written, in any order and more than once", async () => {
    await fill(0, 50);
    await expectImages(...range(0, 50));
    const cache = await openImageCache(dir);
    expect(cache.sizePx).toBe(SIZE);
    const out = new Uint8Array(3 * SIZE ** 2);
    cache.read(Int32Array.from([7, 3, 7]), out);
    expect(Array.from(out)).toEqual([7, 3, 7].flatMap((n) => Array.from(pixels(n))));
    expect(() => {
      cache.read([50], out);
    }).toThrow(RangeError);
    expect(() => {
      cache.read([0, 1, 2, 3], out);
    }).toThrow(RangeError);
    cache.close();
  });

  it("goes on after the last commit of a run that was cut off", async () => {
    await fill(0, 10);
    const writer = await CacheWriter.open(dir, SIZE);
    for (const n of range(10, 14)) await writer.append(record(n), pixels(n));
    await writer.close(); // no commit
    await expectImages(...range(0, 10));
    await fill(10, 20);
    await expectImages(...range(0, 20));
  });

  it("ignores a half-written image and index", async () => {
    await fill(0, 3);
    await appendFile(join(dir, "shard-00000.u8"), new Uint8Array(17));
    await writeFile(join(dir, "shard-00000.json.tmp"), '{"half":');
    await writeFile(join(dir, "shard-00001.u8"), new Uint8Array(99));
    await expectImages(0, 1, 2);
    await fill(3, 5);
    await expectImages(0, 1, 2, 3, 4);
  });

  it("fills several shards", async () => {
    const big = 2048; // 4 MB each: 16 to a shard
    const writer = await CacheWriter.open(dir, big);
    for (const n of range(0, 18)) await writer.append(record(n), new Uint8Array(big ** 2).fill(n));
    await writer.commit();
    await writer.close();
    expect((await readdir(dir)).filter((name) => name.endsWith(".u8"))).toHaveLength(2);
    const cache = await openImageCache(dir);
    const out = new Uint8Array(big ** 2);
    for (const n of [0, 15, 16, 17]) {
      cache.read([n], out);
      expect(out[12_345]).toBe(n);
    }
    cache.close();
  });

  it("is the owner's alone", async () => {
    await fill(0, 1);
    for (const name of await readdir(dir)) expect((await stat(join(dir, name))).mode & 0o077).toBe(0);
  });

  it("refuses images of another size", async () => {
    await fill(0, 1);
    await expect(CacheWriter.open(dir, SIZE + 1)).rejects.toMatchObject({ code: "config.invalid" });
  });

  it("says so, with its name, where there is no cache", async () => {
    await expect(openImageCache(join(dir, "none"))).rejects.toMatchObject({
      code: "cache.missing",
      detail: '("none")',
    });
  });
});

describe("a damaged cache", () => {
  const damage: Record<string, () => Promise<void>> = {
    "a shorter shard": () => truncate(join(dir, "shard-00000.u8"), SIZE ** 2 * 4 + 3),
    "a missing shard": () => rm(join(dir, "shard-00000.u8")),
    "an index that is no JSON": () => writeFile(join(dir, "shard-00000.json"), "{"),
    "an altered index": async () => {
      const path = join(dir, "shard-00000.json");
      await writeFile(path, (await readFile(path, "utf8")).replace('"rows":12', '"rows":13'));
    },
    "an altered image": async () => {
      const path = join(dir, "shard-00000.u8");
      const bytes = await readFile(path);
      bytes[SIZE ** 2 * 2] = (bytes[SIZE ** 2 * 2] ?? 0) ^ 1;
      await writeFile(path, bytes);
    },
  };
  const pulled = `pulled-${key(7)}.jsonl`;

  it("whose header cannot be read, or is of a newer version, is left as it is", async () => {
    await fill(0, 5);
    const path = join(dir, "cache.json");
    const header = await readFile(path, "utf8");
    const cases = [
      ["[]", "cache.corrupt"],
      [header.slice(0, 20), "cache.corrupt"],
      [header.replace('"version":2', '"version":3'), "cache.newer"],
    ] as const;
    for (const [text, code] of cases) {
      await writeFile(path, text);
      await expect(CacheWriter.open(dir, SIZE)).rejects.toMatchObject({ code });
      await expect(openImageCache(dir)).rejects.toMatchObject({ code });
    }
    await rm(path);
    await expect(CacheWriter.open(dir, SIZE)).rejects.toMatchObject({ code: "cache.corrupt" });
    await writeFile(path, header);
    await expectImages(0, 1, 2, 3, 4);
  });

  for (const [name, act] of Object.entries(damage)) {
    it(`is noticed and repaired by writing again: ${name}`, async () => {
      await fill(0, 5);
      await writeFile(join(dir, pulled), "");
      await act();
      const readAll = async (): Promise<void> => {
        const cache = await openImageCache(dir);
        try {
          cache.read([0, 1, 2, 3, 4], new Uint8Array(5 * SIZE ** 2));
        } finally {
          cache.close();
        }
      };
      await expect(readAll()).rejects.toMatchObject({ code: "cache.corrupt" });
      const writer = await CacheWriter.open(dir, SIZE);
      expect(writer.count).toBe(0);
      expect(writer.lost).toEqual({ shards: 1, images: 5 });
      await writer.close();
      // Nothing is thrown away, and the next pull asks for everything again.
      const names = await readdir(dir);
      expect(names.some((each) => each.startsWith("damaged-"))).toBe(true);
      expect(names).not.toContain(pulled);
      await fill(0, 5);
      await expectImages(0, 1, 2, 3, 4);
    });
  }
});

describe("the layout of a cache", () => {
  const CHANNELS: CacheLayout = {
    ...cacheLayout({ ...GREY_IMAGES, channels: 3 }, SIZE),
    depthPx: 4,
  };

  it("may have channels and slices; a volume's own spacing comes back with it", async () => {
    const writer = await CacheWriter.open(dir, CHANNELS);
    const volume = { slices: 40, spacingMm: [2.5, 0.7, 0.7] as [number, number, number] };
    const bytes = Uint8Array.from({ length: recordBytes(CHANNELS) }, (_, i) => i % 251);
    await writer.append({ ...record(1), volume }, bytes);
    await writer.append(record(2), bytes.toReversed());
    await writer.commit();
    await writer.close();
    const cache = await openImageCache(dir);
    expect(cache).toMatchObject(CHANNELS);
    expect(cache.records).toEqual([{ ...record(1), volume }, record(2)]);
    const out = new Uint8Array(bytes.length);
    cache.read([1], out);
    expect(out).toEqual(bytes.toReversed());
    cache.close();
  });

  it("keeps the newest version of a volume, whole, though writing it is cut off at any line", async () => {
    const spacingMm = [1, 1, 1] as [number, number, number];
    const volume = (n: number, slices: number) => ({ ...record(n), volume: { slices, spacingMm } });
    const bytes = (n: number) => new Uint8Array(recordBytes(CHANNELS)).fill(n);
    const writer = await CacheWriter.open(dir, CHANNELS);
    for (const n of [0, 1, 2]) await writer.append(volume(n, 10), bytes(n));
    await writer.commit();
    const before = await Promise.all(
      ["shard-00000.json", "shard-00000.u8"].map(async (name) => ({
        name,
        content: await readFile(join(dir, name)),
      })),
    );
    await writer.replace(volume(1, 20), bytes(71));
    expect(writer.volumeOf(key(1))).toMatchObject({ slices: 20 });
    await writer.append(volume(3, 10), bytes(3));
    await writer.commit();
    await writer.close();
    const contents = async (): Promise<readonly (readonly [number | undefined, number | undefined])[]> => {
      const cache = await openImageCache(dir);
      const out = new Uint8Array(recordBytes(CHANNELS));
      const found = cache.records.map((each, i) => {
        cache.read([i], out);
        return [each.volume?.slices, out[0]] as const;
      });
      cache.close();
      return found;
    };
    expect(await contents()).toEqual([
      [10, 0],
      [20, 71],
      [10, 2],
      [10, 3],
    ]);
    expect(await readdir(dir)).toHaveLength(3);
    // Cut off before the old shard was removed: the new one is not needed yet, nor are readers shown both.
    for (const { name, content } of before) await writeFile(join(dir, name), content);
    expect(await contents()).toEqual([
      [10, 0],
      [10, 1],
      [10, 2],
      [10, 3],
    ]);
    await (await CacheWriter.open(dir, CHANNELS)).close();
    expect(await contents()).toEqual([
      [10, 0],
      [10, 1],
      [10, 2],
    ]);
  });

  it("is read while a volume is replaced, image by image in the order that was asked for", async () => {
    await fill(0, 3);
    const shown = async (keys: readonly string[]) => {
      const cache = await openImageCache(dir);
      const images = inOrder(cache, keys);
      const out = new Uint8Array(keys.length * SIZE ** 2);
      images.read([...keys.keys()], out);
      cache.close();
      return { keys: images.records.map(({ image }) => image), out };
    };
    const { keys, out } = await shown([key(0), key(1), key(2)]);
    // The same images lie elsewhere now, and there is one more.
    for (const suffix of ["u8", "json"])
      await rename(join(dir, `shard-00000.${suffix}`), join(dir, `shard-00007.${suffix}`));
    await fill(3, 4);
    await rename(join(dir, "shard-00007.json"), join(dir, "shard-00009.json"));
    await rename(join(dir, "shard-00007.u8"), join(dir, "shard-00009.u8"));
    expect(await shown(keys)).toEqual({ keys, out });
    expect((await shown([key(3), key(1)])).out).toEqual(Uint8Array.from([...pixels(3), ...pixels(1)]));
    await expect(shown([key(8)])).rejects.toMatchObject({ code: "cache.corrupt" });
  });

  it("is one for all records: another size, depth or profile is refused with what to do", async () => {
    await fill(0, 2);
    const refused = (layout: CacheLayout) => CacheWriter.open(dir, layout);
    const own = cacheLayout(GREY_IMAGES, SIZE);
    await expect(refused({ ...own, sizePx: 9 })).rejects.toMatchObject({ code: "config.invalid" });
    await expect(refused({ ...own, depthPx: 2 })).rejects.toMatchObject({ code: "config.invalid" });
    const wider = { ...GREY_IMAGES, grey: { ...GREY_IMAGES.grey, CT: [{ range: "header" as const }] } };
    await expect(refused(cacheLayout(wider, SIZE))).rejects.toMatchObject({ code: "cache.wrong-profile" });
    await expectImages(0, 1);
  });

  it("of version 1 is still read, and written on", async () => {
    await fill(0, 3);
    const header = { format: "consilium-image-cache", version: 1, sizePx: SIZE, recordsPerShard: 4096 };
    await writeFile(join(dir, "cache.json"), JSON.stringify(header));
    const shard = join(dir, "shard-00000.json");
    await writeFile(shard, (await readFile(shard, "utf8")).replace('"version":2', '"version":1'));
    await expectImages(0, 1, 2);
    await fill(3, 4);
    await expectImages(0, 1, 2, 3);
  });

  it("of version 1 was made under today's defaults, whose hash must not change", () => {
    expect(inputProfileHash(GREY_IMAGES)).toBe(
      "78fbe1070a02d2cc0248cf2a30b71105a357a08dd663861ac0373a529e052a37",
    );
  });
});
