import { describe, expect, it } from "vitest";
import { decode as decodeFile } from "./decode.ts";
import type { StoredImage } from "./stored-image.ts";
import { writeDicom, type FixtureOptions } from "../testing/dicom-fixture.ts";
import { encodeFrame, type FixtureSyntax } from "../testing/encode-frame.ts";
import { syntheticImage, type FixtureImage } from "../testing/synthetic-image.ts";

async function decode(image: FixtureImage, options: FixtureOptions = {}): Promise<StoredImage> {
  return decodeFile(await writeDicom(image, options)).frame(0);
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error !== null && typeof error === "object" && "code" in error ? error.code : error;
}

const FORMATS = {
  "8 bits": syntheticImage(),
  "12 of 16 bits": syntheticImage({ bitsAllocated: 16, bitsStored: 12 }),
  "16 bits": syntheticImage({ bitsAllocated: 16 }),
  "16 bits signed": syntheticImage({ bitsAllocated: 16, signed: true }),
  "12 of 16 bits signed": syntheticImage({ bitsAllocated: 16, bitsStored: 12, signed: true }),
  RGB: syntheticImage({ samples: 3, photometric: "RGB" }),
  "odd size": syntheticImage({ rows: 31, columns: 17 }),
} as const;

const LOSSLESS: readonly FixtureSyntax[] = [
  "implicit",
  "explicit",
  "big-endian",
  "deflated",
  "encapsulated-native",
  "frame-deflate",
  "rle",
  "jpeg-lossless",
  "jpeg-ls",
  "jpeg-2000",
  "ht-jpeg-2000",
  "jpeg-xl",
];

describe("lossless transfer syntaxes give the exact stored values", () => {
  for (const syntax of LOSSLESS) {
    for (const [name, image] of Object.entries(FORMATS)) {
      it(`${syntax}, ${name}`, async () => {
        const decoded = await decode(image, { syntax });
        expect(Array.from(decoded.values)).toEqual(image.stored);
        expect(decoded).toMatchObject({ rows: image.rows, columns: image.columns, samples: image.samples });
      });
    }
  }
});

it("a codestream of 8 bits is read in an image of 16 allocated ones", async () => {
  const narrow = FORMATS["8 bits"];
  const wide = syntheticImage({ bitsAllocated: 16, bitsStored: 8 });
  for (const syntax of ["jpeg-lossless", "jpeg-ls", "jpeg-2000", "ht-jpeg-2000"] as const) {
    const decoded = await decode(wide, { syntax, pixelData: await encodeFrame(narrow, syntax) });
    expect(Array.from(decoded.values)).toEqual(narrow.stored);
  }
});

describe("lossy transfer syntaxes stay within the codec's bound", () => {
  const worst = (decoded: StoredImage, image: { stored: readonly number[] }): number =>
    Math.max(...image.stored.map((value, i) => Math.abs(value - (decoded.values[i] ?? Infinity))));

  it("JPEG-LS near-lossless: its allowed error", async () => {
    for (const image of [FORMATS["8 bits"], FORMATS["12 of 16 bits"]])
      expect(worst(await decode(image, { syntax: "jpeg-ls-near" }), image)).toBeLessThanOrEqual(3);
  });

  it("JPEG baseline and JPEG 2000 irreversible: close", async () => {
    for (const syntax of ["jpeg", "jpeg-2000-lossy"] as const) {
      const image = FORMATS["8 bits"];
      const decoded = await decode(image, { syntax });
      const mean = image.stored.reduce((sum, v, i) => sum + Math.abs(v - (decoded.values[i] ?? 0)), 0);
      expect(mean / image.stored.length).toBeLessThan(8);
    }
  });
});

describe("what is refused", () => {
  const image = FORMATS["8 bits"];

  it("pixel data shorter or longer than the header says", async () => {
    for (const change of [-2, 2]) {
      const pixelData = new Uint8Array(image.data.length + change);
      expect(await codeOf(decode(image, { pixelData }))).toBe("dicom.wrong-size");
    }
  });

  it("a codestream of another size, depth or number of components than the header says", async () => {
    for (const syntax of ["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "ht-jpeg-2000"] as const) {
      const pixelData = await encodeFrame(FORMATS["odd size"], syntax);
      expect(await codeOf(decode(image, { syntax, pixelData }))).toBe("dicom.wrong-size");
      const colour = await encodeFrame(FORMATS.RGB, syntax);
      expect(await codeOf(decode(image, { syntax, pixelData: colour }))).toBe("dicom.wrong-size");
    }
    const deep = await encodeFrame(FORMATS["16 bits"], "jpeg-ls");
    expect(await codeOf(decode(image, { syntax: "jpeg-ls", pixelData: deep }))).toBe("dicom.wrong-size");
  });

  it("rubbish instead of a codestream", async () => {
    for (const syntax of ["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg-2000", "ht-jpeg-2000", "rle"] as const) {
      const pixelData = new Uint8Array(200).fill(7);
      expect(await codeOf(decode(image, { syntax, pixelData }))).toMatch(
        /^dicom\.(decode-failed|wrong-size)$/,
      );
    }
  });
});
