import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Spool } from "./spool.ts";

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "consilium-spool-")), "spool");
});
afterEach(() => rm(join(folder, ".."), { recursive: true, force: true }));

const key = (n: number): string => String(n).padStart(32, "0");
const ROOMY = { maxBytes: 1000, minFreeBytes: 0 };

async function put(spool: Spool, n: number, text: string): Promise<void> {
  const arrival = await spool.begin(key(n));
  await arrival.write([Buffer.from(text.slice(0, 2)), Buffer.from(text.slice(2))]);
  await arrival.keep();
}

describe("the spool", () => {
  it("gives back what was kept, to the owner alone, under an HMAC and a random number", async () => {
    const spool = await Spool.open(folder, ROOMY);
    await put(spool, 1, "first");
    await put(spool, 2, "second");
    expect(spool.count).toBe(2);
    const [file] = spool.next(1);
    expect(file?.relativePath).toBe(key(1));
    expect(await readFile(file?.path ?? "", "utf8")).toBe("first");
    expect((await stat(file?.path ?? "")).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(folder)) expect(name).toMatch(/^[0-9a-f]{32}-[0-9a-f]{16}\.dcm$/);
    await spool.remove(spool.next(2));
    expect(await readdir(folder)).toEqual([]);
    expect(spool.count).toBe(0);
  });

  it("takes up what an earlier run kept and removes what it had not finished", async () => {
    const earlier = await Spool.open(folder, ROOMY);
    await put(earlier, 1, "kept");
    await (await earlier.begin(key(2))).write([Buffer.from("half")]);
    await writeFile(join(folder, "notes"), "not ours");
    const spool = await Spool.open(folder, ROOMY);
    expect(spool.next(9).map(({ relativePath }) => relativePath)).toEqual([key(1)]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  it("keeps an image that is sent twice under one key, as two files", async () => {
    const spool = await Spool.open(folder, ROOMY);
    await put(spool, 1, "once");
    await put(spool, 1, "twice");
    expect(spool.next(9).map(({ relativePath }) => relativePath)).toEqual([key(1), key(1)]);
  });

  it("is full by its bytes or the disk's, and has room again when the cache has caught up", async () => {
    const spool = await Spool.open(folder, { maxBytes: 5, minFreeBytes: 0 });
    expect(await spool.isFull()).toBe(false);
    await put(spool, 1, "12345");
    expect(await spool.isFull()).toBe(true);
    const stop = new AbortController();
    const waiting = spool.room(stop.signal);
    await spool.remove(spool.next(1));
    await waiting;
    const noDisk = await Spool.open(folder, { maxBytes: 5, minFreeBytes: 2 ** 60 });
    expect(await noDisk.isFull()).toBe(true);
    const never = noDisk.room(stop.signal);
    stop.abort(new Error("stopped"));
    await expect(never).rejects.toThrow();
  });

  it("leaves nothing of what is dropped", async () => {
    const spool = await Spool.open(folder, ROOMY);
    const arrival = await spool.begin(key(1));
    await arrival.write([Buffer.from("half")]);
    await arrival.drop();
    expect(await readdir(folder)).toEqual([]);
  });
});
