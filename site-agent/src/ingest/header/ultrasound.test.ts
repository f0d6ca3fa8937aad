import { describe, expect, it } from "vitest";
import { writeDicom, type FixtureElement } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { readHeader, type DicomHeader } from "./header.ts";

const ROWS = 60;
const COLUMNS = 80;

const long = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

interface Declared {
  /** x0, y0, x1, y1; both corners belong to it. */
  readonly corners: readonly [number, number, number, number];
  readonly format?: number;
  readonly type?: number;
}

const regions = (...declared: readonly Declared[]): FixtureElement => [
  "00186011",
  "SQ",
  {
    items: declared.map(({ corners, format = 1, type = 1 }) => [
      ["00186012", "US", format],
      ["00186014", "US", type],
      ...corners.map((value, i): FixtureElement => [
        `001860${(0x18 + 2 * i).toString(16)}`,
        "UL",
        long(value),
      ]),
    ]),
  },
];

async function header(...elements: readonly FixtureElement[]): Promise<DicomHeader> {
  const image = syntheticImage({ rows: ROWS, columns: COLUMNS });
  return readHeader(await writeDicom(image, { elements: [["00080060", "CS", "US"], ...elements] }));
}

describe("the region of an ultrasound image", () => {
  it("is the declared one, both corners included", async () => {
    const { region, mayCarryText } = await header(regions({ corners: [10, 5, 69, 54] }));
    expect(region).toEqual({ left: 10, top: 5, width: 60, height: 50 });
    expect(mayCarryText).toBe(false);
  });

  it("is the largest 2-D one of tissue, whatever else is declared", async () => {
    const { region } = await header(
      regions(
        { corners: [0, 0, 79, 59], format: 5 },
        { corners: [0, 0, 78, 58], format: 3, type: 3 },
        { corners: [0, 0, 70, 50], type: 2 },
        { corners: [0, 10, 39, 49] },
        { corners: [40, 10, 79, 50] },
      ),
    );
    expect(region).toEqual({ left: 40, top: 10, width: 40, height: 41 });
  });

  it("is one of flow where no tissue is declared", async () => {
    const { region } = await header(regions({ corners: [1, 2, 30, 40], type: 2 }));
    expect(region).toEqual({ left: 1, top: 2, width: 30, height: 39 });
  });

  it("ends at the image's edge, where writers count from 1", async () => {
    const { region } = await header(regions({ corners: [40, 30, COLUMNS, ROWS] }));
    expect(region).toEqual({ left: 40, top: 30, width: 40, height: 30 });
  });

  it("is missing where none is declared, or none that shows a picture: then the image may carry text", async () => {
    for (const elements of [
      [],
      [regions()],
      [regions({ corners: [0, 0, 79, 59], format: 2 }, { corners: [0, 0, 79, 59], format: 4 })],
      [regions({ corners: [90, 0, 99, 59] })],
      [regions({ corners: [30, 30, 20, 40] })],
      [["00186011", "SQ", { items: [[["00186012", "US", 1]]] }] as FixtureElement],
    ])
      expect(await header(...elements)).toMatchObject({ region: null, mayCarryText: true });
  });

  it("does not save an image that says it carries text, or a secondary capture", async () => {
    const declared = regions({ corners: [10, 5, 69, 54] });
    for (const element of [
      ["00280301", "CS", "YES"],
      ["00080008", "CS", "DERIVED\\SECONDARY"],
      ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.7.4"],
    ] as const)
      expect((await header(declared, element)).mayCarryText).toBe(true);
  });

  it("is wanted of ultrasound under a wrong modality, too, and of nothing else", async () => {
    const ultrasoundClass: FixtureElement = ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.6.1"];
    expect((await header(["00080060", "CS", "OT"], ultrasoundClass)).mayCarryText).toBe(true);
    const radiograph = await header(["00080060", "CS", "DX"], regions({ corners: [10, 5, 69, 54] }));
    expect(radiograph).toMatchObject({ region: null, mayCarryText: false });
  });
});
