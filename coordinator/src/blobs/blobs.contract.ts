/** What every blob store must do; run over each implementation. */
import { createHash } from "node:crypto";
import { sha256 } from "@consilium/shared/canonical";
import type { UploadId } from "@consilium/shared/ids";
import { beforeEach, describe, expect, it } from "vitest";
import type { Blobs } from "./blobs.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const upload = "0f".repeat(16) as UploadId;

async function collect(source: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(new Uint8Array(piece));
  return Buffer.concat(pieces).toString();
}

export interface BlobsHarness {
  /** Empty. */
  open(): Promise<Blobs>;
  /** The same objects again, as after a restart. */
  reopen(): Promise<Blobs>;
}

export function blobsContract(name: string, makeHarness: () => Promise<BlobsHarness>): void {
  describe(`${name} keep the contract of blobs`, () => {
    let harness: BlobsHarness;
    let blobs: Blobs;
    beforeEach(async () => {
      harness = await makeHarness();
      blobs = await harness.open();
    });

    it("name an object by its SHA-256 and give it back, also after a restart", async () => {
      const stored = await blobs.write([bytes("hello "), bytes("world")]);
      expect(stored).toEqual({ sha256: sha256("hello world"), sizeBytes: 11 });
      blobs = await harness.reopen();
      expect(await collect(blobs.read(stored.sha256))).toBe("hello world");
      expect(await blobs.sizeOf(stored.sha256)).toBe(11);
      expect(await blobs.list()).toEqual([stored.sha256]);
    });

    it("lend an object piece by piece, and whole", async () => {
      const { sha256: name } = await blobs.write([new Uint8Array(1_500_000).fill(7), bytes("end")]);
      const hash = createHash("sha256");
      for await (const piece of blobs.scan(name)) hash.update(piece);
      expect(hash.digest("hex")).toBe(name);
      expect(await collect(blobs.scan(name, { start: 1_500_000, end: 1_500_002 }))).toBe("en");
      expect(await collect(blobs.scan(name, { start: 1_500_000, end: 1_500_009 }))).toBe("end");
      await expect(collect(blobs.scan(sha256("nothing")))).rejects.toMatchObject({ code: "blob.unknown" });
    });

    it("read a part of an object", async () => {
      const { sha256: name } = await blobs.write([bytes("hello world")]);
      expect(await collect(blobs.read(name, { start: 6, end: 11 }))).toBe("world");
      expect(await collect(blobs.read(name, { start: 3, end: 3 }))).toBe("");
    });

    it("take the same object twice", async () => {
      const first = await blobs.write([bytes("same")]);
      expect(await blobs.write([bytes("same")])).toEqual(first);
      expect(await blobs.list()).toHaveLength(1);
    });

    it("say that an object is unknown", async () => {
      const name = sha256("nothing");
      expect(await blobs.sizeOf(name)).toBeNull();
      await expect(collect(blobs.read(name))).rejects.toMatchObject({ code: "blob.unknown" });
      await blobs.remove(name);
    });

    it("keep nothing of a source that fails", async () => {
      const failing = function* () {
        yield bytes("half");
        throw new Error("cut");
      };
      await expect(blobs.write(failing())).rejects.toThrow("cut");
      expect(await blobs.list()).toEqual([]);
    });

    it("take the pieces of an upload in any order, keep them over a restart, and promote the whole", async () => {
      let staged = await blobs.stage(upload);
      await staged.writeAt(6, bytes("world"));
      blobs = await harness.reopen();
      staged = await blobs.stage(upload);
      await staged.writeAt(0, bytes("hello "));
      expect(await staged.sizeBytes()).toBe(11);
      expect(await collect(staged.read())).toBe("hello world");
      expect(await collect(staged.scan())).toBe("hello world");
      expect(await blobs.staged()).toEqual([upload]);
      await staged.promote(sha256("hello world"));
      blobs = await harness.reopen();
      expect(await collect(blobs.read(sha256("hello world")))).toBe("hello world");
      expect(await blobs.staged()).toEqual([]);
    });

    it("let go of a piece's memory once it is written", async () => {
      const piece = new Uint8Array([1, 2, 3]);
      await (await blobs.stage(upload)).writeAt(0, piece);
      expect(piece).toHaveLength(0);
    });

    it("forget an upload that is discarded", async () => {
      const staged = await blobs.stage(upload);
      await staged.writeAt(0, bytes("x"));
      await staged.discard();
      await staged.discard();
      expect(await blobs.staged()).toEqual([]);
      await expect(staged.writeAt(0, bytes("x"))).rejects.toMatchObject({ code: "upload.unknown" });
    });
  });
}
