import { describe, expect, it } from "vitest";
import { decodeImage, type StoredImage } from "./decode.ts";
import {
  encodeFrame,
  packSamples,
  syntheticImage,
  writeDicom,
  type FixtureImage,
  type FixtureOptions,
  type FixtureSyntax,
} from "./dicom-fixture.ts";
import { readHeader } from "./header.ts";

async function decode(image: FixtureImage, options: FixtureOptions = {}): Promise<StoredImage> {
  return decodeImage(readHeader(await writeDicom(image, options)));
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
  "rle",
  "jpeg-lossless",
  "jpeg-ls",
  "jpeg-2000",
  "ht-jpeg-2000",
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

describe("canonical form", () => {
  it("takes the bits below HighBit and drops overlay bits above and below", async () => {
    const stored = [0, 1, 5, 1023];
    const image: FixtureImage = {
      ...syntheticImage({ rows: 2, columns: 2, bitsAllocated: 16, bitsStored: 10 }),
      data: packSamples(
        stored.map((value) => (value << 2) | 0xf003),
        16,
      ),
    };
    const decoded = await decode(image, { elements: [["00280102", "US", 11]] });
    expect(Array.from(decoded.values)).toEqual(stored);
  });

  it("extends the sign of values that do not fill their word", async () => {
    const stored = [-512, -1, 0, 511];
    const image: FixtureImage = {
      ...syntheticImage({ rows: 2, columns: 2, bitsAllocated: 16, bitsStored: 10, signed: true }),
      data: packSamples(
        stored.map((value) => (value & 0x3ff) | 0x5400),
        16,
      ),
    };
    expect(Array.from((await decode(image)).values)).toEqual(stored);
  });

  it("reads 1-bit and 32-bit samples, plain and as RLE", async () => {
    const bits = Array.from({ length: 24 }, (_, i) => ((i * 7) % 3) & 1);
    const one = {
      ...syntheticImage({ rows: 4, columns: 6, bitsAllocated: 1, bitsStored: 1 }),
      data: packSamples(bits, 1),
    };
    expect(Array.from((await decode(one)).values)).toEqual(bits);
    const wide = syntheticImage({ bitsAllocated: 32, bitsStored: 24 });
    for (const syntax of ["implicit", "big-endian"] as const)
      expect(Array.from((await decode(wide, { syntax })).values)).toEqual(wide.stored);
  });

  it("unswaps 8-bit pixels that big endian wrote as words", async () => {
    const image = FORMATS["8 bits"];
    const swapped = Uint8Array.from(image.data, (_, i) => image.data[i ^ 1] ?? 0);
    const file = await writeDicom(image, { syntax: "big-endian", pixelData: swapped });
    // The fixture writes 8-bit pixels as OB; as OW the words are swapped.
    const at = file.lastIndexOf(0x42, file.length - swapped.length);
    const patched = Uint8Array.from(file);
    patched[at] = 0x57;
    expect(Array.from((await decodeImage(readHeader(patched))).values)).toEqual(image.stored);
  });

  it("puts colour planes pixel by pixel", async () => {
    const image = FORMATS.RGB;
    const pixels = image.rows * image.columns;
    const planar = Uint8Array.from(
      image.data,
      (_, i) => image.data[(i % pixels) * 3 + Math.floor(i / pixels)] ?? 0,
    );
    const decoded = await decode(image, { pixelData: planar, elements: [["00280006", "US", 1]] });
    expect(Array.from(decoded.values)).toEqual(image.stored);
  });

  it("repeats the chroma of uncompressed YBR_FULL_422", async () => {
    const image: FixtureImage = {
      ...syntheticImage({ rows: 1, columns: 4, samples: 3, photometric: "YBR_FULL_422" }),
      data: Uint8Array.from([10, 20, 128, 130, 30, 40, 126, 129]),
    };
    const decoded = await decode(image);
    expect(decoded.photometric).toBe("YBR_FULL");
    expect(Array.from(decoded.values)).toEqual([10, 128, 130, 20, 128, 130, 30, 126, 129, 40, 126, 129]);
  });

  it("joins the fragments of a frame", async () => {
    for (const syntax of ["jpeg-ls", "jpeg-2000"] as const) {
      const decoded = await decode(FORMATS["8 bits"], { syntax, fragments: 5 });
      expect(Array.from(decoded.values)).toEqual(FORMATS["8 bits"].stored);
    }
  });
});

describe("what is refused", () => {
  const image = FORMATS["8 bits"];

  it("several frames", async () => {
    expect(await codeOf(decode(image, { elements: [["00280008", "IS", "2"]] }))).toBe("dicom.multi-frame");
  });

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

  it("palette colour, for now", async () => {
    expect(await codeOf(decode({ ...image, photometric: "PALETTE COLOR" }))).toBe("dicom.unsupported");
  });
});
