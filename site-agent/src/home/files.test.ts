import { mkdtemp, readdir, readFile, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ConsiliumError } from "@consilium/shared/errors";
import { afterEach, beforeEach, expect, it } from "vitest";
import { exclusively, writeFileAtomic, writePartsAtomic } from "./files.ts";

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

it("does one thing at a time with a file, however long it takes", async () => {
  const file = path.join(folder, "chain.jsonl");
  const order: string[] = [];
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const first = exclusively(file, async () => {
    begin();
    await ended;
    order.push("first");
  });
  await begun;
  // As it looks when the first has worked for a long time.
  await utimes(`${file}.lock`, 0, 0);
  const second = exclusively(file, () => Promise.resolve(order.push("second")));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(order).toEqual([]);
  end();
  await Promise.all([first, second]);
  expect(order).toEqual(["first", "second"]);
});
