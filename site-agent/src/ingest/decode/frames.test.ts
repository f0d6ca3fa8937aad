/** Several frames: where each begins, and what belongs to it. */
import { describe, expect, it } from "vitest";
import { readHeader } from "../header/header.ts";
import { writeDicom, type FixtureElement, type FixtureOptions } from "../testing/dicom-fixture.ts";
import { packSamples, syntheticImage } from "../testing/synthetic-image.ts";
import { decode } from "./decode.ts";

const sources = [1, 2, 3].map((seed) => syntheticImage({ seed, bitsAllocated: 16, bitsStored: 12 }));
const [image] = sources;
if (image === undefined) throw new Error("no image");
const frames = sources.map(({ data }) => data);

async function decodeAll(options: FixtureOptions): Promise<number[][]> {
  const all: number[][] = [];
  for await (const { values } of decode(
    await writeDicom(image as NonNullable<typeof image>, { frames, ...options }),
  ))
    all.push(Array.from(values));
  return all;
}

const truth = sources.map(({ stored }) => [...stored]);

describe("frames", () => {
  it("lie one after the other where they are plain", async () => {
    for (const syntax of ["implicit", "explicit", "big-endian", "deflated"] as const)
      expect(await decodeAll({ syntax })).toEqual(truth);
  });

  it("of single bits begin within a byte", async () => {
    const bits = [0, 1, 2].map((f) => Array.from({ length: 15 }, (_, i) => ((i * 7 + f) % 3) & 1));
    const one = syntheticImage({ rows: 3, columns: 5, bitsAllocated: 1, bitsStored: 1 });
    const file = await writeDicom(one, {
      pixelData: packSamples(bits.flat(), 1),
      elements: [["00280008", "IS", "3"]],
    });
    const all: number[][] = [];
    for await (const { values } of decode(file)) all.push(Array.from(values));
    expect(all).toEqual(bits);
  });

  it("of 8 bits in big-endian words begin within a word", async () => {
    const odd = [4, 5].map((seed) => syntheticImage({ rows: 3, columns: 5, seed }));
    const [first] = odd;
    const options = { syntax: "big-endian", vr: "OW", frames: odd.map(({ data }) => data) } as const;
    const all: number[][] = [];
    for await (const { values } of decode(await writeDicom(first ?? image, options)))
      all.push(Array.from(values));
    expect(all).toEqual(odd.map(({ stored }) => [...stored]));
  });

  it("have a fragment each, with and without an offset table, even a wrong one", async () => {
    for (const syntax of [
      "rle",
      "jpeg-lossless",
      "jpeg-ls",
      "jpeg-2000",
      "ht-jpeg-2000",
      "jpeg-xl",
      "frame-deflate",
      "encapsulated-native",
    ] as const)
      for (const offsetTable of ["empty", "basic", "extended", "wrong"] as const)
        expect(await decodeAll({ syntax, offsetTable })).toEqual(truth);
  });

  it("have several fragments: the offset table tells, or else the codestreams do", async () => {
    for (const syntax of ["jpeg-lossless", "jpeg-ls", "jpeg-2000", "ht-jpeg-2000", "jpeg-xl"] as const)
      for (const offsetTable of ["empty", "basic", "extended", "wrong"] as const)
        expect(await decodeAll({ syntax, offsetTable, fragments: 3 })).toEqual(truth);
    for (const offsetTable of ["basic", "extended"] as const)
      expect(await decodeAll({ syntax: "frame-deflate", offsetTable, fragments: 3 })).toEqual(truth);
  });

  it("that cannot be told apart are refused", async () => {
    await expect(decodeAll({ syntax: "frame-deflate", fragments: 3 })).rejects.toMatchObject({
      code: "dicom.wrong-size",
    });
  });

  it("of another number than the header says are refused", async () => {
    for (const syntax of ["explicit", "jpeg-ls"] as const)
      for (const count of ["2", "4"])
        await expect(decodeAll({ syntax, elements: [["00280008", "IS", count]] })).rejects.toMatchObject({
          code: "dicom.wrong-size",
        });
  });
});

describe("frame attributes", () => {
  const sequence = (tag: string, ...elements: FixtureElement[]): FixtureElement => [
    tag,
    "SQ",
    { items: [elements] },
  ];
  const position = (z: number): FixtureElement => sequence("00209113", ["00200032", "DS", `0\\-5.5\\${z}`]);

  it("come from a frame's own functional groups, then from the shared ones", async () => {
    const shared = sequence(
      "52009229",
      sequence("00289110", ["00180050", "DS", "2.5"], ["00280030", "DS", "0.7\\0.8"]),
      sequence("00209116", ["00200037", "DS", "1\\0\\0\\0\\1\\0"]),
      sequence("00289145", ["00281052", "DS", "-1024"], ["00281053", "DS", "2"]),
      sequence("00289132", ["00281050", "DS", "40"], ["00281051", "DS", "400"]),
    );
    const own: FixtureElement[][] = [
      [position(10)],
      [position(12), sequence("00289145", ["00281052", "DS", "5"], ["00281053", "DS", "3"])],
    ];
    const elements: FixtureElement[] = [shared, ["52009230", "SQ", { items: own }]];
    for (const syntax of ["explicit", "implicit", "big-endian"] as const) {
      const { frameAttributes } = readHeader(await writeDicom(image, { syntax, frames, elements }));
      const common = {
        pixelSpacing: [0.7, 0.8],
        sliceThickness: 2.5,
        spacingBetweenSlices: null,
        orientation: [1, 0, 0, 0, 1, 0],
        window: { center: 40, width: 400 },
      };
      expect(frameAttributes).toEqual([
        { ...common, position: [0, -5.5, 10], rescale: { slope: 2, intercept: -1024 } },
        { ...common, position: [0, -5.5, 12], rescale: { slope: 3, intercept: 5 } },
        // A frame that the per-frame groups leave out.
        { ...common, position: null, rescale: { slope: 2, intercept: -1024 } },
      ]);
    }
  });

  it("come from the top of a single-frame object, or are not known", async () => {
    const nothing = {
      rescale: null,
      window: null,
      pixelSpacing: null,
      sliceThickness: null,
      spacingBetweenSlices: null,
      position: null,
      orientation: null,
    };
    expect(readHeader(await writeDicom(image)).frameAttributes).toEqual([nothing]);
    const elements: FixtureElement[] = [
      ["00200032", "DS", "1\\2\\3"],
      ["00280030", "DS", "0.5\\CANARY"],
      ["00281053", "DS", "0.1"],
    ];
    expect(readHeader(await writeDicom(image, { elements })).frameAttributes).toEqual([
      { ...nothing, position: [1, 2, 3], rescale: { slope: 0.1, intercept: 0 } },
    ]);
  });
});
