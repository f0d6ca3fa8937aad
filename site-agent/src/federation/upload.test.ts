import { createHash } from "node:crypto";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { ConsiliumError } from "@consilium/shared/errors";
import type { UploadId } from "@consilium/shared/ids";
import type { UploadBegin, UploadOutcome } from "@consilium/shared/protocol/events";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ByteSource } from "../home/files.ts";
import type { UploadLink, UploadStart } from "./transport.ts";
import { chunkBytesFor, missingChunks, uploadObject, UPLOAD_WINDOW, type UploadReport } from "./upload.ts";

const CHUNK_BYTES = 1024;
const UPLOAD = "0".repeat(32) as UploadId;
const object = { kind: "genesis" } as UploadBegin["object"];

function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
    close: () => Promise.resolve(),
  };
}

/** A coordinator in memory, whose connection may be cut after any number of chunks. */
class Receiver implements UploadLink {
  readonly chunks = new Map<number, Uint8Array>();
  readonly received: number[] = [];
  readonly #total: number;
  underWay = 0;
  mostUnderWay = 0;
  chunksUntilCut = Infinity;
  forgetUploads = 0;
  outcome: UploadOutcome = "accepted";
  committed = 0;

  constructor(sizeBytes: number) {
    this.#total = Math.ceil(sizeBytes / CHUNK_BYTES);
  }

  beginUpload(): Promise<UploadStart> {
    const bitmap = new Uint8Array(Math.ceil(this.#total / 8));
    for (const seq of this.chunks.keys()) bitmap[seq >> 3] = (bitmap[seq >> 3] ?? 0) | (1 << (seq & 7));
    return Promise.resolve({ upload: UPLOAD, chunkBytes: CHUNK_BYTES, have: toBase64Url(bitmap) });
  }

  async sendChunk(
    { seq, sha256 }: { readonly seq: number; readonly sha256: string },
    bytes: Uint8Array,
  ): Promise<void> {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    await new Promise((resolve) => setImmediate(resolve));
    this.underWay -= 1;
    if (this.forgetUploads > 0) {
      this.forgetUploads -= 1;
      throw new ConsiliumError("upload.unknown");
    }
    if (this.chunksUntilCut <= 0) throw new ConsiliumError("coordinator.unreachable");
    this.chunksUntilCut -= 1;
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    this.received.push(seq);
    this.chunks.set(seq, bytes);
  }

  commitUpload(): Promise<UploadOutcome> {
    this.committed += 1;
    return Promise.resolve(this.outcome);
  }

  get bytes(): Uint8Array {
    return Buffer.concat([...this.chunks].sort(([a], [b]) => a - b).map(([, bytes]) => bytes));
  }
}

function send(
  link: UploadLink,
  bytes: Uint8Array,
  signal = new AbortController().signal,
): Promise<UploadReport> {
  return uploadObject({
    link,
    object,
    source: sourceOf(bytes),
    chunkBytes: CHUNK_BYTES,
    onProgress: () => undefined,
    signal,
  });
}

const bytesArb = fc.uint8Array({ minLength: 1, maxLength: 20 * CHUNK_BYTES });

describe("an upload", () => {
  it("arrives whole however often it is cut, and no chunk that arrived is sent again", async () => {
    await fc.assert(
      fc.asyncProperty(
        bytesArb,
        fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 6 }),
        async (bytes, cuts) => {
          const receiver = new Receiver(bytes.length);
          for (const chunks of cuts) {
            receiver.chunksUntilCut = chunks;
            await send(receiver, bytes).catch((error: unknown) => {
              expect(error).toMatchObject({ code: "coordinator.unreachable" });
            });
          }
          receiver.chunksUntilCut = Infinity;
          const { sentBytes } = await send(receiver, bytes);
          expect(Buffer.compare(receiver.bytes, bytes)).toBe(0);
          expect(new Set(receiver.received).size).toBe(receiver.received.length);
          expect(sentBytes).toBeLessThanOrEqual(bytes.length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("keeps the window full and no fuller", async () => {
    const bytes = new Uint8Array(20 * CHUNK_BYTES);
    const receiver = new Receiver(bytes.length);
    await send(receiver, bytes);
    expect(receiver.mostUnderWay).toBe(UPLOAD_WINDOW);
  });

  it("begins again when the coordinator has forgotten it", async () => {
    const bytes = new Uint8Array(9 * CHUNK_BYTES).fill(7);
    const receiver = new Receiver(bytes.length);
    receiver.forgetUploads = 1;
    await expect(send(receiver, bytes)).resolves.toMatchObject({ outcome: "accepted" });
    expect(receiver.committed).toBe(1);
  });

  it("sends nothing of an object that is settled", async () => {
    const receiver = new Receiver(1);
    receiver.beginUpload = () => Promise.resolve({ outcome: "duplicate" });
    await expect(send(receiver, new Uint8Array(1))).resolves.toEqual({ outcome: "duplicate", sentBytes: 0 });
  });

  it("gives up when nothing moves, however patient the connection is", async () => {
    const receiver = new Receiver(1);
    receiver.sendChunk = () => new Promise(() => undefined);
    await expect(
      uploadObject({
        link: receiver,
        object,
        source: sourceOf(new Uint8Array(1)),
        chunkBytes: CHUNK_BYTES,
        onProgress: () => undefined,
        signal: new AbortController().signal,
        stallMs: 20,
      }),
    ).rejects.toMatchObject({ code: "coordinator.unreachable" });
  });

  it("ends when it is told to", async () => {
    const receiver = new Receiver(CHUNK_BYTES);
    const stop = new AbortController();
    receiver.sendChunk = () => {
      stop.abort();
      return new Promise(() => undefined);
    };
    await expect(send(receiver, new Uint8Array(CHUNK_BYTES), stop.signal)).rejects.toMatchObject({
      name: "AbortError",
    });
    expect(receiver.committed).toBe(0);
  });
});

it("a bitmap for another number of chunks is refused", () => {
  expect(() => missingChunks(toBase64Url(new Uint8Array(2)), 3 * CHUNK_BYTES, CHUNK_BYTES)).toThrow(
    ConsiliumError,
  );
});

it("chunks follow the speed of the last upload, within bounds", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (bytesPerSecond) => {
      const bytes = chunkBytesFor(bytesPerSecond);
      expect(bytes).toBeGreaterThanOrEqual(64 * 1024);
      expect(bytes).toBeLessThanOrEqual(4 * 1024 * 1024);
      if (bytes > 64 * 1024) expect((bytes * UPLOAD_WINDOW) / bytesPerSecond).toBeLessThanOrEqual(10);
    }),
  );
});
