import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { decode, framesOf } from "../decode/decode.ts";
import { writeDicom, type FixtureElement } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { readHeader, type DicomHeader } from "./header.ts";
import { locateDataSet, looksLikeDicom } from "./part10.ts";

const image = syntheticImage({ rows: 20, columns: 24, bitsAllocated: 16, bitsStored: 12 });

function codeOf(file: Uint8Array): unknown {
  try {
    readHeader(file);
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
  return null;
}

describe("finding the data set", () => {
  it("reads files without preamble, without meta header, and with neither", async () => {
    for (const syntax of ["implicit", "explicit"] as const) {
      for (const [preamble, meta] of [
        [true, true],
        [false, true],
        [false, false],
      ] as const) {
        const file = await writeDicom(image, { syntax, preamble, meta });
        expect(looksLikeDicom(file)).toBe(true);
        const decoded = await decode(file).frame(0);
        expect(Array.from(decoded.values)).toEqual(image.stored);
      }
    }
    const big = await writeDicom(image, { syntax: "big-endian", preamble: false, meta: false });
    expect(Array.from((await decode(big).frame(0)).values)).toEqual(image.stored);
  });

  it("believes the elements and not a meta header that says implicit for explicit or the reverse", async () => {
    const explicit = await writeDicom(image, { syntax: "explicit" });
    const implicit = await writeDicom(image, { syntax: "implicit" });
    const metaBytes = (file: Uint8Array): number => file.length - locateDataSet(file).bytes.length;
    const mixed = Buffer.concat([
      implicit.subarray(0, metaBytes(implicit)),
      explicit.subarray(metaBytes(explicit)),
    ]);
    expect(Array.from((await decode(mixed).frame(0)).values)).toEqual(image.stored);
  });

  it("takes no text, picture or empty file for DICOM", () => {
    for (const file of [
      Buffer.alloc(0),
      Buffer.alloc(4096),
      Buffer.from("sop_instance_uid,patient_id,label\n".repeat(20)),
      Buffer.from("89504e470d0a1a0a0000000d49484452000000e0000000e0", "hex"),
      Buffer.from("DIC"),
    ]) {
      expect(looksLikeDicom(file)).toBe(false);
      expect(codeOf(file)).toBe("dicom.not-dicom");
    }
  });

  it("names a transfer syntax that it does not read", async () => {
    const file = Buffer.from(await writeDicom(syntheticImage(), { syntax: "jpeg" }));
    const at = file.indexOf("1.2.840.10008.1.2.4.50");
    file.write("1.2.840.10008.1.2.4.99", at, "latin1");
    expect(codeOf(file)).toBe("dicom.unsupported");
  });
});

describe("the header", () => {
  it("reads a file that dcmjs wrote", async () => {
    const require = createRequire(import.meta.url);
    const { data } = require("dcmjs") as {
      data: { datasetToDict: (dataSet: object) => { write: () => ArrayBuffer } };
    };
    const file = data
      .datasetToDict({
        _meta: { TransferSyntaxUID: { Value: ["1.2.840.10008.1.2.1"], vr: "UI" } },
        _vrMap: { PixelData: "OW" },
        SOPClassUID: "1.2.840.10008.5.1.4.1.1.1",
        SOPInstanceUID: "2.25.77",
        StudyInstanceUID: "2.25.78",
        PatientID: "somebody",
        Modality: "DX",
        ViewPosition: "PA",
        BodyPartExamined: "CHEST",
        SamplesPerPixel: 1,
        PhotometricInterpretation: "MONOCHROME1",
        Rows: image.rows,
        Columns: image.columns,
        BitsAllocated: 16,
        BitsStored: 12,
        HighBit: 11,
        PixelRepresentation: 0,
        PixelData: [Uint8Array.from(image.data).buffer],
      })
      .write();
    const header = readHeader(new Uint8Array(file));
    expect(header).toMatchObject({
      modality: "DX",
      view: "PA",
      bodyPart: "CHEST",
      mayCarryText: false,
      identifiers: { sopInstanceUid: "2.25.77", patientId: "somebody" },
      format: { rows: 20, columns: 24, bitsStored: 12, photometric: "MONOCHROME1" },
    });
    expect(Array.from((await framesOf(header).frame(0)).values)).toEqual(image.stored);
  });

  it("keeps no text that is not on its lists", async () => {
    const elements: FixtureElement[] = [
      ["00080060", "CS", "CANARY"],
      ["00180015", "CS", "CANARY CHEST"],
      ["00185101", "CS", "CANARY"],
    ];
    const { modality, view, bodyPart } = readHeader(await writeDicom(image, { elements }));
    expect({ modality, view, bodyPart }).toEqual({ modality: "OT", view: null, bodyPart: null });
  });

  it("tells files that may carry text", async () => {
    const marks = async (elements: FixtureElement[]): Promise<boolean> =>
      readHeader(await writeDicom(image, { elements })).mayCarryText;
    expect(await marks([])).toBe(false);
    expect(await marks([["00280301", "CS", "NO"]])).toBe(false);
    expect(await marks([["00080008", "CS", "DERIVED\\PRIMARY"]])).toBe(false);
    expect(await marks([["00280301", "CS", "YES"]])).toBe(true);
    expect(await marks([["00080008", "CS", "DERIVED\\SECONDARY"]])).toBe(true);
    expect(await marks([["00080016", "UI", "1.2.840.10008.5.1.4.1.1.7"]])).toBe(true);
    expect(await marks([["00080016", "UI", "1.2.840.10008.5.1.4.1.1.7.2"]])).toBe(true);
    expect(await marks([["00080060", "CS", "US"]])).toBe(true);
  });

  it("reads rescale, window and padding, signed where the pixels are", async () => {
    const elements: FixtureElement[] = [
      ["00280120", "SS", -2000],
      ["00280121", "SS", -1900],
      ["00281050", "DS", "40\\50"],
      ["00281051", "DS", "400\\350"],
      ["00281052", "DS", "-1024"],
      ["00281053", "DS", "0.5"],
    ];
    const signed = syntheticImage({ bitsAllocated: 16, signed: true });
    for (const syntax of ["explicit", "implicit", "big-endian"] as const) {
      const { grey } = readHeader(await writeDicom(signed, { syntax, elements }));
      expect(grey).toMatchObject({
        padding: { low: -2000, high: -1900 },
        window: { center: 40, width: 400 },
        rescale: { slope: 0.5, intercept: -1024 },
      });
    }
  });

  it("tells a report from an image that lost its pixels", async () => {
    const file = await writeDicom(image, { elements: [["00020000", "UL", 0]] });
    const pixelsAt = file.length - image.data.length - 12;
    expect(codeOf(file.subarray(0, pixelsAt))).toBe("dicom.truncated");
    const report = await writeDicom(image, { without: ["00280010", "00280011"] });
    expect(codeOf(report.subarray(0, report.length - image.data.length - 12))).toBe("dicom.no-pixels");
  });

  it("refuses pixel descriptions that make no sense", async () => {
    const bad: FixtureElement[] = [
      ["00280002", "US", 4],
      ["00280010", "US", 0],
      ["00280100", "US", 8],
      ["00280100", "US", 40],
      ["00280101", "US", 17],
      ["00280102", "US", 30],
      ["00280004", "CS", "RGB"],
    ];
    for (const element of bad)
      expect(codeOf(await writeDicom(image, { elements: [element] }))).toBe("dicom.unsupported");
  });

  it("never says more than a code about a file cut anywhere", async () => {
    for (const syntax of ["implicit", "explicit", "deflated", "jpeg-ls"] as const) {
      const file = await writeDicom(image, { syntax });
      for (let length = 0; length < file.length; length += 7) {
        let header: DicomHeader | null = null;
        try {
          header = readHeader(file.subarray(0, length));
        } catch (error) {
          expect(error).toMatchObject({
            code: expect.stringMatching(/^dicom\.(not-dicom|truncated|no-pixels|unsupported)$/) as string,
          });
        }
        const whole = header;
        if (whole !== null)
          await expect((async () => framesOf(whole).frame(0))()).rejects.toMatchObject({
            code: "dicom.truncated",
          });
      }
    }
  });
});
