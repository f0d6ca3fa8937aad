import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ENVELOPE_HEADER_BYTES,
  open,
  openPart,
  openStream,
  seal,
  sealedBytes,
  type EnvelopeContext,
} from "./envelope.ts";
import { createIdentity } from "./identity.ts";

const random = (length: number) => new Uint8Array(randomBytes(length));
const reader = createIdentity(random);
const context: EnvelopeContext = { kind: "update", federation: "lungs", round: 3, attempt: 1, site: "a" };
const chunkBytes = 64;
const sealFor = (plaintext: Uint8Array) =>
  seal(plaintext, { reader: reader.public, context, random, chunkBytes });

const invalid = expect.objectContaining({ code: "envelope.invalid" }) as unknown;

describe("envelope", () => {
  it("returns what was sealed, for any length and any cut of the stream", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.integer({ min: 1, max: 100 }),
        async (plaintext, cut) => {
          const sealed = sealFor(plaintext);
          expect(sealed.length).toBe(sealedBytes(plaintext.length, chunkBytes));
          const pieces: Uint8Array[] = [];
          for (let i = 0; i < sealed.length; i += cut) pieces.push(sealed.subarray(i, i + cut));
          const opened: Uint8Array[] = [];
          for await (const chunk of openStream(pieces, reader, context)) opened.push(Buffer.from(chunk));
          expect(new Uint8Array(Buffer.concat(opened))).toEqual(plaintext);
        },
      ),
      { numRuns: 50 },
    );
  });

  const partOf = async (sealed: Uint8Array, start: number, end: number, of: number): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    const range = async function* (bytes: { readonly start: number; readonly end: number }) {
      await Promise.resolve();
      yield sealed.subarray(bytes.start, bytes.end);
    };
    for await (const piece of openPart(range, reader, context, { start, end, of }))
      pieces.push(Buffer.from(piece));
    return new Uint8Array(Buffer.concat(pieces));
  };

  it("returns any part of it, out of the chunks that hold it", async () => {
    const cases = fc.uint8Array({ minLength: 1, maxLength: 300 }).chain((plaintext) =>
      fc.record({
        plaintext: fc.constant(plaintext),
        start: fc.nat(plaintext.length - 1),
        length: fc.integer({ min: 1, max: plaintext.length }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ plaintext, start, length }) => {
        const end = Math.min(plaintext.length, start + length);
        const part = await partOf(sealFor(plaintext), start, end, plaintext.length);
        expect(part).toEqual(plaintext.slice(start, end));
      }),
      { numRuns: 50 },
    );
  });

  it("refuses parts of another whole: longer, extended, cut, altered where they lie", async () => {
    const sealed = sealFor(random(130));
    await expect(partOf(sealed, 0, 10, 131)).rejects.toEqual(invalid);
    await expect(partOf(Uint8Array.of(...sealed, 0), 128, 130, 130)).rejects.toEqual(invalid);
    await expect(partOf(sealed.subarray(0, -1), 128, 130, 130)).rejects.toEqual(invalid);
    for (const position of [
      ...Array(ENVELOPE_HEADER_BYTES).keys(),
      ENVELOPE_HEADER_BYTES + chunkBytes + 20,
    ]) {
      const altered = Uint8Array.from(sealed);
      altered[position] = (altered[position] ?? 0) ^ 1;
      await expect(partOf(altered, 70, 90, 130), `byte ${position}`).rejects.toEqual(invalid);
    }
  });

  it("refuses every flipped bit", async () => {
    const sealed = sealFor(random(130));
    for (let position = 0; position < sealed.length; position++) {
      const altered = Uint8Array.from(sealed);
      altered[position] = (altered[position] ?? 0) ^ 1;
      // The ephemeral key's topmost bit is not part of the point (RFC 7748, section 5), but is authenticated.
      await expect(open(altered, reader, context), `byte ${position}`).rejects.toEqual(invalid);
    }
  });

  it("refuses reordered, cut and extended objects", async () => {
    const sealed = sealFor(random(3 * chunkBytes));
    const chunk = (i: number) =>
      sealed.subarray(
        ENVELOPE_HEADER_BYTES + i * (chunkBytes + 16),
        ENVELOPE_HEADER_BYTES + (i + 1) * (chunkBytes + 16),
      );
    const header = sealed.subarray(0, ENVELOPE_HEADER_BYTES);
    const variants = [
      [header, chunk(1), chunk(0), chunk(2)],
      [header, chunk(0), chunk(1)],
      [header, chunk(0), chunk(1), chunk(2), Uint8Array.of(0)],
      [header],
      [],
    ];
    for (const variant of variants) {
      await expect(open(Buffer.concat(variant), reader, context)).rejects.toEqual(invalid);
    }
  });

  it("refuses an update replayed in another place", async () => {
    const sealed = sealFor(random(100));
    const elsewhere: EnvelopeContext[] = [
      { ...context, round: 4 },
      { ...context, attempt: 2 },
      { ...context, site: "b" },
      { ...context, federation: "knees" },
      { ...context, kind: "genesis" },
    ];
    for (const place of elsewhere) await expect(open(sealed, reader, place)).rejects.toEqual(invalid);
  });

  it("is unreadable for anyone else", async () => {
    await expect(open(sealFor(random(10)), createIdentity(random), context)).rejects.toEqual(invalid);
  });

  it("refuses a reader's key of low order", () => {
    const zero = { ...reader.public, sealingKey: "A".repeat(43) };
    expect(() => seal(random(1), { reader: zero, context, random })).toThrow(
      expect.objectContaining({ code: "crypto.weak-key" }) as Error,
    );
  });
});
