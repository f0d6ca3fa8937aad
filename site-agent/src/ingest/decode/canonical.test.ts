/** The canonical form of docs/ingest.md, one rule after the other. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeDicom, type FixtureElement, type FixtureOptions } from "../testing/dicom-fixture.ts";
import { packSamples, syntheticImage, type FixtureImage } from "../testing/synthetic-image.ts";
import { decode as decodeFile } from "./decode.ts";
import { expandPalette } from "./palette.ts";
import { dataType, type StoredImage } from "./stored-image.ts";

async function decode(image: FixtureImage, options: FixtureOptions = {}): Promise<StoredImage> {
  return decodeFile(await writeDicom(image, options)).frame(0);
}

const tiny = (options: Partial<FixtureImage>, samples: readonly number[]): FixtureImage => ({
  ...syntheticImage({ rows: 2, columns: 2, ...options }),
  data: packSamples(samples, options.bitsAllocated ?? 8),
});

describe("bits", () => {
  it("takes the bits below HighBit and drops overlay bits above and below", async () => {
    const stored = [0, 1, 5, 1023];
    const cells = stored.map((value) => (value << 2) | 0xf003);
    const image = tiny({ bitsAllocated: 16, bitsStored: 10 }, cells);
    for (const syntax of ["explicit", "big-endian", "rle", "frame-deflate"] as const) {
      const decoded = await decode(image, { syntax, elements: [["00280102", "US", 11]] });
      expect(Array.from(decoded.values)).toEqual(stored);
    }
  });

  it("extends the sign of values that do not fill their word", async () => {
    const stored = [-512, -1, 0, 511];
    const image = tiny(
      { bitsAllocated: 16, bitsStored: 10, signed: true },
      stored.map((value) => (value & 0x3ff) | 0x5400),
    );
    const { values } = await decode(image);
    expect(values).toBeInstanceOf(Int16Array);
    expect(Array.from(values)).toEqual(stored);
  });

  it("reads every width from 1 to 32 bits, signed and not, in every way that keeps whole cells", async () => {
    const widths = fc.integer({ min: 1, max: 32 });
    await fc.assert(
      fc.asyncProperty(
        widths,
        fc.nat(31),
        fc.boolean(),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (bitsAllocated, less, maybeSigned, shares) => {
          const bitsStored = Math.max(1, bitsAllocated - less);
          const signed = maybeSigned && bitsAllocated > 1;
          const span = 2 ** bitsStored;
          const stored = Array.from({ length: 15 }, () => {
            const level = Math.min(span - 1, Math.floor((shares.next().value as number) * span));
            return signed ? level - span / 2 : level;
          });
          const cells = stored.map((value) => (value < 0 ? value + span : value));
          const image: FixtureImage = {
            ...syntheticImage({ rows: 3, columns: 5, bitsAllocated, bitsStored, signed }),
            data: packSamples(cells, bitsAllocated),
          };
          const wholeBytes = bitsAllocated % 8 === 0;
          for (const syntax of [
            "implicit",
            "deflated",
            "frame-deflate",
            ...(wholeBytes ? (["big-endian"] as const) : []),
          ] as const) {
            const { values } = await decode(image, { syntax });
            expect(Array.from(values)).toEqual(stored);
            expect(values.constructor.name.toLowerCase()).toBe(`${dataType(image as never)}array`);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("unpacks single bits from RLE", async () => {
    const bits = Array.from({ length: 24 }, (_, i) => ((i * 7) % 3) & 1);
    const packed = packSamples(bits, 1);
    const frame = Buffer.alloc(64 + 1 + packed.length);
    frame.writeUInt32LE(1, 0);
    frame.writeUInt32LE(64, 4);
    frame.set([packed.length - 1, ...packed], 64);
    const image = syntheticImage({ rows: 4, columns: 6, bitsAllocated: 1, bitsStored: 1 });
    expect(Array.from((await decode(image, { syntax: "rle", pixelData: frame })).values)).toEqual(bits);
  });

  it("unpacks 24 and 32 bits from RLE", async () => {
    for (const bitsAllocated of [24, 32]) {
      const stored = [0, 1, 2 ** bitsAllocated - 1, 0x010203];
      const planes = Array.from({ length: bitsAllocated / 8 }, (_, p) =>
        stored.map((value) => Math.floor(value / 2 ** (bitsAllocated - 8 * (p + 1))) & 0xff),
      );
      const frame = Buffer.alloc(64 + planes.length * 6);
      frame.writeUInt32LE(planes.length, 0);
      for (const [p, plane] of planes.entries()) {
        frame.writeUInt32LE(64 + p * 6, 4 + 4 * p);
        frame.set([3, ...plane, 128], 64 + p * 6);
      }
      const image = tiny({ bitsAllocated }, stored);
      expect(Array.from((await decode(image, { syntax: "rle", pixelData: frame })).values)).toEqual(stored);
    }
  });

  it("unswaps 8-bit pixels that big endian wrote as words", async () => {
    for (const columns of [32, 31]) {
      const image = syntheticImage({ rows: 3, columns });
      const decoded = await decode(image, { syntax: "big-endian", vr: "OW" });
      expect(Array.from(decoded.values)).toEqual(image.stored);
    }
  });

  it("unswaps 32-bit pixels by 16-bit words in OW and by 32-bit words in OL", async () => {
    const image = syntheticImage({ bitsAllocated: 32, bitsStored: 24 });
    for (const vr of ["OW", "OL"] as const)
      expect(Array.from((await decode(image, { syntax: "big-endian", vr })).values)).toEqual(image.stored);
  });
});

describe("colours", () => {
  const image = syntheticImage({ samples: 3, photometric: "RGB" });

  it("puts colour planes pixel by pixel", async () => {
    const pixels = image.rows * image.columns;
    const planar = Uint8Array.from(
      image.data,
      (_, i) => image.data[(i % pixels) * 3 + Math.floor(i / pixels)] ?? 0,
    );
    for (const syntax of ["explicit", "big-endian", "frame-deflate"] as const) {
      const decoded = await decode({ ...image, data: planar }, { syntax, elements: [["00280006", "US", 1]] });
      expect(Array.from(decoded.values)).toEqual(image.stored);
    }
  });

  it("repeats the chroma of uncompressed YBR_FULL_422", async () => {
    const subsampled: FixtureImage = {
      ...syntheticImage({ rows: 1, columns: 4, samples: 3, photometric: "YBR_FULL_422" }),
      data: Uint8Array.from([10, 20, 128, 130, 30, 40, 126, 129]),
    };
    const decoded = await decode(subsampled);
    expect(decoded.photometric).toBe("YBR_FULL");
    expect(Array.from(decoded.values)).toEqual([10, 128, 130, 20, 128, 130, 30, 126, 129, 40, 126, 129]);
  });

  it("takes YBR_FULL_422 whose every pixel has its chroma as it is", async () => {
    const decoded = await decode({ ...image, photometric: "YBR_FULL_422" });
    expect(decoded.photometric).toBe("YBR_FULL");
    expect(Array.from(decoded.values)).toEqual(image.stored);
  });

  it("keeps colours as stored, except that codecs' own transforms are undone", async () => {
    for (const photometric of ["RGB", "YBR_FULL"] as const)
      expect((await decode({ ...image, photometric })).photometric).toBe(photometric);
    expect(
      (await decode(image, { syntax: "jpeg-2000", elements: [["00280004", "CS", "YBR_RCT"]] })).photometric,
    ).toBe("RGB");
  });
});

describe("palettes", () => {
  const words = (values: readonly number[]): Uint8Array => new Uint8Array(Uint16Array.from(values).buffer);
  const descriptors = (entries: number, first: number, bits: number): FixtureElement[] =>
    ["00281101", "00281102", "00281103"].map((tag) => [tag, "US", [entries, first, bits]]);
  const indices = [0, 1, 2, 3, 4, 9];
  const image = {
    ...tiny({ rows: 2, columns: 3, photometric: "PALETTE COLOR" }, indices),
    rows: 2,
    columns: 3,
  };

  async function expanded(elements: FixtureElement[]): Promise<StoredImage> {
    const frames = decodeFile(await writeDicom(image, { elements }));
    const stored = await frames.frame(0);
    expect(stored.photometric).toBe("PALETTE COLOR");
    expect(Array.from(stored.values)).toEqual(indices);
    return expandPalette(stored, frames.header.palette);
  }
  const channel = ({ values }: StoredImage, c: number): number[] =>
    Array.from(values).filter((_, i) => i % 3 === c);

  it("stay indices until they are expanded; outside indices take the first or last entry", async () => {
    const rgb = await expanded([
      ...descriptors(4, 1, 16),
      ["00281201", "OW", words([100, 200, 300, 65535])],
      ["00281202", "OW", words([1, 2, 3, 4])],
      ["00281203", "OW", words([0, 0, 0, 9])],
    ]);
    expect(rgb.photometric).toBe("RGB");
    expect(channel(rgb, 0)).toEqual([100, 100, 200, 300, 65535, 65535]);
    expect(channel(rgb, 2)).toEqual([0, 0, 0, 0, 9, 9]);
  });

  it("may have 8-bit entries, packed or one a word", async () => {
    const rgb = await expanded([
      ...descriptors(4, 0, 8),
      ["00281201", "OW", Uint8Array.from([9, 8, 7, 6])],
      ["00281202", "OW", words([9, 8, 7, 6])],
      ["00281203", "OW", Uint8Array.from([9, 8, 7, 6])],
    ]);
    expect(rgb.values).toBeInstanceOf(Uint8Array);
    for (const c of [0, 1, 2]) expect(channel(rgb, c)).toEqual([9, 8, 7, 6, 6, 6]);
  });

  it("may be segmented: discrete, linear and indirect", async () => {
    // 5 20 | up to 50 in 3 steps | the first two segments again, the line from 50 down
    const data = words([0, 2, 5, 20, 1, 3, 50, 2, 2, 0, 0]);
    const rgb = await expanded([
      ...descriptors(10, 0, 16),
      ["00281221", "OW", data],
      ["00281222", "OW", data],
      ["00281223", "OW", data],
    ]);
    expect(channel(rgb, 0)).toEqual([5, 20, 30, 40, 50, 50]);
    expect(
      decodeFile(
        await writeDicom(image, {
          elements: [
            ...descriptors(10, 0, 16),
            ["00281221", "OW", data],
            ["00281222", "OW", data],
            ["00281223", "OW", data],
          ],
        }),
      ).header.palette?.red.values,
    ).toEqual(Uint16Array.from([5, 20, 30, 40, 50, 5, 20, 30, 40, 50]));
  });

  it("that are cut, endless or missing are refused", async () => {
    const bad: FixtureElement[][] = [
      [],
      [
        ...descriptors(4, 0, 16),
        ...["00281201", "00281202", "00281203"].map((tag) => [tag, "OW", words([1])] as const),
      ],
      [
        ...descriptors(9, 0, 16),
        ...["00281221", "00281222", "00281223"].map((tag) => [tag, "OW", words([2, 1, 0, 0])] as const),
      ],
      [
        ...descriptors(9, 0, 16),
        ...["00281221", "00281222", "00281223"].map((tag) => [tag, "OW", words([1, 3, 5])] as const),
      ],
    ];
    for (const elements of bad)
      await expect(expanded(elements)).rejects.toMatchObject({ code: "dicom.unsupported" });
  });
});
