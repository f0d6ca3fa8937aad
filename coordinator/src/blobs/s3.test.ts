import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import type { UploadId } from "@consilium/shared/ids";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startS3Server, type S3Server } from "../testing/s3-server.ts";
import { blobsContract } from "./blobs.contract.ts";
import { parseBlobsLocation } from "./location.ts";
import { openBlobs } from "./open.ts";

let server: S3Server;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-s3-"));
  server = await startS3Server(path.join(folder, "server"));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

let prefixes = 0;
const newLocation = () =>
  parseBlobsLocation(server.locationOf(`test-${++prefixes}`), {
    root: path.join(folder, "blobs"),
    spool: path.join(folder, "spool"),
  });

blobsContract("objects in S3", () => {
  const location = newLocation();
  const open = () => openBlobs(location);
  return Promise.resolve({ open, reopen: open });
});

describe("objects in S3", () => {
  const PIECE = new Uint8Array(1024 * 1024).fill(7);
  const large = function* () {
    for (let i = 0; i < 20; i++) yield PIECE;
  };
  const upload = "0f".repeat(16) as UploadId;

  it("take more than one part, and give it back whole", async () => {
    const blobs = await openBlobs(newLocation());
    const stored = await blobs.write(large());
    expect(stored.sizeBytes).toBe(20 * PIECE.length);
    expect(await blobs.sizeOf(stored.sha256)).toBe(stored.sizeBytes);
    let readBytes = 0;
    for await (const piece of blobs.read(stored.sha256)) readBytes += piece.length;
    expect(readBytes).toBe(stored.sizeBytes);
  });

  it("are not there under a hash that is not theirs", async () => {
    const blobs = await openBlobs(newLocation());
    const staged = await blobs.stage(upload);
    for (let i = 0; i < 18; i++) await staged.writeAt(i * PIECE.length, PIECE.slice());
    await expect(staged.promote(sha256("other"))).rejects.toMatchObject({ code: "hash.mismatch" });
    expect(await blobs.list()).toEqual([]);
    expect(await blobs.staged()).toEqual([upload]);
  });

  it("keep the prefixes of a bucket apart", async () => {
    await (await openBlobs(newLocation())).write([PIECE]);
    expect(await (await openBlobs(newLocation())).list()).toEqual([]);
  });

  it("say which setting is wrong", async () => {
    const folders = { root: folder, spool: path.join(folder, "spool") };
    const wrong = ["http://bucket", "s3://key:secret@bucket/", "s3://bucket/?profile=x", "s3:"];
    for (const text of wrong) {
      expect(() => parseBlobsLocation(text, folders)).toThrow(
        expect.objectContaining({ code: "config.invalid" }),
      );
    }
    const missing = parseBlobsLocation(server.locationOf("x").replace("s3://", "s3://no-"), folders);
    await expect(openBlobs(missing)).rejects.toMatchObject({ code: "config.invalid", culprits: ["blobs"] });
  });
});
