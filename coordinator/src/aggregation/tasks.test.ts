import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { seal } from "@consilium/shared/crypto/envelope";
import { createIdentity } from "@consilium/shared/crypto/identity";
import type { UploadId } from "@consilium/shared/ids";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Blobs } from "../blobs/blobs.ts";
import { openFileBlobs } from "../blobs/fs.ts";
import { seeded, smallModel } from "../testing/coordinator.ts";
import { federation, hashOf, siteId } from "../testing/values.ts";
import { ArrivedSum } from "./arrived-sum.ts";
import { ArrivingUpdates } from "./arriving-updates.ts";
import { runTask } from "./tasks.ts";

const next = seeded(7);
const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => next() * 256);
const reader = createIdentity(random);
const site = siteId("north");

let folder: string;
let blobs: Blobs;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-tasks-"));
  blobs = await openFileBlobs(folder);
});
afterAll(() => rm(folder, { recursive: true }));

it("keeps a model that somebody uploads under another name as well", async () => {
  const { genesis } = smallModel();
  const { length } = genesis;
  const { sha256: needed } = await blobs.write([genesis.slice()]);
  const context = { kind: "genesis", federation, round: 0, attempt: 0, site };
  const sealed = seal(genesis, { reader: reader.public, context, random });
  const sealedSha256 = sha256(sealed);
  const upload = "cd".repeat(16) as UploadId;
  await (await blobs.stage(upload)).writeAt(0, sealed);
  const open = (announced = needed) =>
    runTask(
      {
        task: "open-genesis",
        job: { federation, site, upload, sealedSha256, sha256: announced },
      },
      { blobs, reader, arrived: new ArrivedSum(), arriving: new ArrivingUpdates(blobs, reader) },
    );
  await expect(open(hashOf("another"))).rejects.toMatchObject({ code: "hash.mismatch" });
  expect(await blobs.sizeOf(needed)).toBe(length);
  await open();
  expect(await blobs.sizeOf(needed)).toBe(length);
});
