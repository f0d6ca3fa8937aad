import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WriteAheadLog } from "./write-ahead-log.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-wal-"));
});
afterAll(() => rm(folder, { recursive: true }));

it("is settled once all that was written has been flushed", async () => {
  const file = path.join(folder, "log");
  await writeFile(file, "pages");
  const log = new WriteAheadLog(file);
  let isFlushed = false;
  const flushed = log.flush().then(() => (isFlushed = true));
  await log.settled();
  expect(isFlushed).toBe(true);
  await flushed;
  await log.close();
});

it("says nothing more after a flush that failed, even if a later one would succeed", async () => {
  const file = path.join(folder, "missing");
  const log = new WriteAheadLog(file);
  await expect(log.flush()).rejects.toMatchObject({ code: "ENOENT" });
  await writeFile(file, "");
  await expect(log.flush()).rejects.toMatchObject({ code: "internal" });
  await expect(log.settled()).rejects.toMatchObject({ code: "internal" });
  await log.close();
});
