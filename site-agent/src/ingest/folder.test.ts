import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { walkFiles } from "./folder.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-walk-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function put(path: string): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  await writeFile(join(root, path), "x");
}

async function walked(): Promise<string[]> {
  const found: string[] = [];
  for await (const { relativePath } of walkFiles(root)) found.push(relativePath);
  return found;
}

it("finds files of all depths in one order, hidden ones left out", async () => {
  for (const path of [
    "b/2.dcm",
    "b/1.dcm",
    "a.dcm",
    "B.dcm",
    "c/d/e/f.dcm",
    ".hidden",
    ".git/x",
    "b/.DS_Store",
  ])
    await put(path);
  expect(await walked()).toEqual(["B.dcm", "a.dcm", "b/1.dcm", "b/2.dcm", "c/d/e/f.dcm"]);
});

it("follows links, enters no folder twice and ends on loops", async () => {
  await put("a/1.dcm");
  await put("b/2.dcm");
  await symlink(root, join(root, "a", "loop"));
  await symlink(join(root, "b"), join(root, "a", "other"));
  await symlink(join(root, "nowhere"), join(root, "broken"));
  expect(await walked()).toEqual(["a/1.dcm", "a/other/2.dcm", "broken"]);
});

it("names a folder that is missing or is none", async () => {
  await put("file");
  for (const path of ["missing", "file"])
    await expect(walkFiles(join(root, path)).next()).rejects.toMatchObject({ code: "ingest.folder-missing" });
});

it("yields nothing for an empty folder", async () => {
  expect(await walked()).toEqual([]);
});
