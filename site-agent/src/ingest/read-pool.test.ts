import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { hasKey, packKeys } from "./known-keys.ts";
import { ReadPool } from "./read-pool.ts";

/** A worker that does to itself what decoders do: hangs, exits, throws; else it answers. */
const MISBEHAVING = `
import { parentPort } from "node:worker_threads";
parentPort.on("message", ({ file }) => {
  if (file.relativePath === "hang") for (;;);
  if (file.relativePath === "exit") process.exit(3);
  if (file.relativePath === "throw") throw new Error("CANARY");
  if (file.relativePath === "throw later") setTimeout(() => { throw new Error("CANARY"); }, 20);
  parentPort.postMessage({ outcome: "cached", key: file.relativePath });
});
parentPort.postMessage("ready");
`;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-pool-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

it("names the file that a thread hung or died on, replaces the thread and goes on", async () => {
  const path = join(dir, "worker.mjs");
  await writeFile(path, MISBEHAVING);
  const pool = new ReadPool({
    threads: 2,
    timeoutMs: 1500,
    secret: new Uint8Array(32),
    sizePx: 8,
    known: packKeys([]),
    script: pathToFileURL(path),
  });
  const names = ["a", "hang", "b", "throw", "c", "exit", "d", "throw later", "e", "f", "g"];
  const results = await Promise.all(names.map((name) => pool.read({ path: name, relativePath: name })));
  await pool.close();
  for (const [i, name] of names.entries()) {
    const result = results[i];
    if (/^[a-g]$|later/.test(name)) {
      // Whatever a thread was given just as it died may be lost with it.
      if (result?.outcome === "cached") expect(result.key).toBe(name);
    } else expect(result).toMatchObject({ outcome: "quarantined", code: "dicom.decode-failed" });
  }
  expect(results.filter((result) => result.outcome === "cached").length).toBeGreaterThanOrEqual(6);
  expect(JSON.stringify(results)).not.toContain("CANARY");
});

it("leaves a thread its time as long as it says that it is alive", async () => {
  const path = join(dir, "worker.mjs");
  await writeFile(
    path,
    `import { parentPort } from "node:worker_threads";
parentPort.on("message", ({ file }) => {
  const alive = setInterval(() => parentPort.postMessage("alive"), 100);
  setTimeout(() => { clearInterval(alive); parentPort.postMessage({ outcome: "cached", key: file.relativePath }); }, 1600);
});
parentPort.postMessage("ready");`,
  );
  const pool = new ReadPool({
    threads: 1,
    timeoutMs: 1000,
    secret: new Uint8Array(32),
    sizePx: 8,
    known: packKeys([]),
    script: pathToFileURL(path),
  });
  expect(await pool.read({ path: "a", relativePath: "a" })).toMatchObject({ outcome: "cached" });
  await pool.close();
});

it("says so when threads do not start, and blames no file", async () => {
  const path = join(dir, "worker.mjs");
  await writeFile(path, "throw new Error('CANARY');");
  const pool = new ReadPool({
    threads: 1,
    timeoutMs: 1500,
    secret: new Uint8Array(32),
    sizePx: 8,
    known: packKeys([]),
    script: pathToFileURL(path),
  });
  await expect(pool.read({ path: "a", relativePath: "a" })).rejects.toMatchObject({ code: "internal" });
  await pool.close();
});

it("finds the keys that are known and no others", () => {
  const key = (n: number): string => (n * 7919).toString(16).padStart(32, "0");
  const shared = packKeys(Array.from({ length: 999 }, (_, i) => key(i * 2)));
  for (let n = 0; n < 1998; n++) expect(hasKey(shared, key(n))).toBe(n % 2 === 0);
  expect(hasKey(packKeys([]), key(1))).toBe(false);
});
