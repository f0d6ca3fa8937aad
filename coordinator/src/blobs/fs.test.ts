import { existsSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { UploadId } from "@consilium/shared/ids";
import { afterEach, expect, it } from "vitest";
import { blobsContract } from "./blobs.contract.ts";
import { attachFileBlobs, openFileBlobs } from "./fs.ts";
import { removeOrphans } from "./orphans.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "consilium-blobs-"));
  folders.push(folder);
  return folder;
}

blobsContract("files", async () => {
  const folder = await newFolder();
  const open = () => openFileBlobs(folder);
  return { open, reopen: open };
});

it("lays objects out by the first two digits of their hash", async () => {
  const folder = await newFolder();
  const { sha256: name } = await (await openFileBlobs(folder)).write([new Uint8Array([1])]);
  expect(existsSync(path.join(folder, "sha256", name.slice(0, 2), name))).toBe(true);
});

it("clears half-written objects away at the next start, and not under a worker that is writing", async () => {
  const folder = await newFolder();
  await openFileBlobs(folder);
  const half = path.join(folder, "temporary", "half");
  await writeFile(half, "x");
  attachFileBlobs(folder);
  expect(existsSync(half)).toBe(true);
  await openFileBlobs(folder);
  expect(existsSync(half)).toBe(false);
});

it.skipIf(!existsSync("/dev/full"))("says disk.full when the disk is full", async () => {
  const folder = await newFolder();
  const blobs = await openFileBlobs(folder);
  const upload = "0f".repeat(16) as UploadId;
  await symlink("/dev/full", path.join(folder, "uploads", `${upload}.part`));
  const staged = await blobs.stage(upload);
  await expect(staged.writeAt(0, new Uint8Array([1]))).rejects.toMatchObject({ code: "disk.full" });
});

it("removes what nobody needs", async () => {
  const blobs = await openFileBlobs(await newFolder());
  for (const text of ["a", "b", "c"]) await blobs.write([new TextEncoder().encode(text)]);
  expect(await removeOrphans(blobs, (name) => name === sha256("b"))).toBe(2);
  expect(await blobs.list()).toEqual([sha256("b")]);
});
