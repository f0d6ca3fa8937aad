import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundaryOf, splitMultipart } from "./multipart.ts";

/** Boundaries, and bytes that look like the beginning of one. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom("\r\n--b", "\r\n--", "\r", "\n", "--bound", "\r\n\r\n").map((text) => Buffer.from(text)),
);
const part = fc.array(piece, { maxLength: 8 }).map((pieces) => Buffer.concat(pieces));

function bodyOf(parts: readonly Uint8Array[], boundary: string, preamble = ""): Buffer {
  const framed = parts.flatMap((bytes) => [
    Buffer.from(`\r\n--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`),
    bytes,
  ]);
  const whole = Buffer.concat([Buffer.from(preamble), ...framed, Buffer.from(`\r\n--${boundary}--\r\n`)]);
  return preamble === "" ? whole.subarray(2) : whole;
}

async function* chunksOf(body: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array, void> {
  for (let at = 0, i = 0; at < body.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield body.subarray(at, at + size);
    at += size;
    await Promise.resolve();
  }
}

async function split(body: AsyncIterable<Uint8Array>, boundary: string): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  await splitMultipart(body, boundary, () => {
    const pieces: Uint8Array[] = [];
    return Promise.resolve({
      write: (bytes) => Promise.resolve(void pieces.push(Buffer.from(bytes))),
      end: () => Promise.resolve(void parts.push(Buffer.concat(pieces))),
    });
  });
  return parts;
}

describe("a multipart body", () => {
  it("comes apart into what it was made of, however it is cut into chunks", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
    const preamble = fc.constantFrom("", "to be ignored");
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 4 }), sizes, preamble, async (parts, cuts, before) => {
        const body = bodyOf(parts, "boundary", before);
        expect(await split(chunksOf(body, cuts), "boundary")).toEqual(parts);
      }),
      { numRuns: 200 },
    );
  });

  it("that is cut off is not taken for a whole one", async () => {
    const body = bodyOf([Buffer.from("one"), Buffer.from("two")], "b");
    for (let length = 0; length < body.length - 4; length++)
      await expect(split(chunksOf(body.subarray(0, length), [7]), "b")).rejects.toMatchObject({
        code: "pacs.failed",
      });
  });

  it("whose head never ends is refused", async () => {
    const body = Buffer.concat([Buffer.from("--b\r\n"), Buffer.alloc(40_000, 0x61)]);
    await expect(split(chunksOf(body, [1000]), "b")).rejects.toMatchObject({ code: "pacs.invalid" });
  });

  it("names its boundary in the Content-Type", () => {
    expect(boundaryOf('multipart/related; type="application/dicom"; boundary="a b"')).toBe("a b");
    expect(boundaryOf("Multipart/Related; boundary=abc; type=x")).toBe("abc");
    expect(boundaryOf("application/dicom; boundary=abc")).toBeNull();
    expect(boundaryOf("multipart/related")).toBeNull();
  });
});
