import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { afterEach, beforeEach, expect, it } from "vitest";
import { writeFileAtomic, writePartsAtomic } from "./files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-files-"));
});
afterEach(() => rm(folder, { recursive: true }));

function* parts(count: number, fails: boolean): Generator<Uint8Array, void> {
  for (let i = 0; i < count; i++) yield new Uint8Array(100_000).fill(i);
  if (fails) throw new ConsiliumError("vector.not-finite");
}

it("writes parts in their order", async () => {
  const file = path.join(folder, "frame");
  await writePartsAtomic(file, parts(5, false));
  expect((await readFile(file)).equals(Buffer.concat([...parts(5, false)]))).toBe(true);
});

it("keeps the old file, and nothing of the new one, when a part cannot be made", async () => {
  const file = path.join(folder, "frame");
  await writeFileAtomic(file, "old");
  await expect(writePartsAtomic(file, parts(3, true))).rejects.toMatchObject({ code: "vector.not-finite" });
  expect(await readdir(folder)).toEqual(["frame"]);
  expect(await readFile(file, "utf8")).toBe("old");
});
