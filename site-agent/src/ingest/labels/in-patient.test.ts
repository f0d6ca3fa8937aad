import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageKey } from "../../dataset/keys.ts";
import { writeDicom, type FixtureElement } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { indexImages, type ImageIndex } from "./geometry.ts";
import { itemsAt, itemsOf, masksOf, refer, secret, sequence } from "./testing/label-fixture.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-dicom-labels-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe("labels that are drawn in the patient", () => {
  /** Slices of 4 rows x 6 columns, 2 mm from row to row and 0.5 mm from column to column, 3 mm apart. */
  async function putImages(): Promise<ImageIndex> {
    const folder = join(dir, "images");
    await mkdir(folder);
    for (const slice of [0, 1]) {
      const file = await writeDicom(syntheticImage({ rows: 4, columns: 6 }), {
        elements: [
          ["00080018", "UI", `1.5.${slice}`],
          ["0020000e", "UI", "1.5"],
          ["00200032", "DS", `10\\-20\\${3 * slice}`],
          ["00200037", "DS", "1\\0\\0\\0\\1\\0"],
          ["00280030", "DS", "2\\0.5"],
        ],
      });
      await writeFile(join(folder, `${slice}.dcm`), file);
    }
    return indexImages(folder, secret);
  }

  it("come from RT structure sets, with holes", async () => {
    const contour = (uid: string, ...corners: readonly (readonly [number, number])[]): FixtureElement[] => [
      refer("30060016", uid),
      ["30060042", "CS", "CLOSED_PLANAR"],
      ["30060050", "DS", corners.map(([x, y]) => `${10 + x}\\${-20 + y}\\0`).join("\\")],
    ];
    const box = (left: number, top: number, right: number, bottom: number) =>
      [
        [left, top],
        [right, top],
        [right, bottom],
        [left, bottom],
      ] as const;
    const write = (...contours: FixtureElement[][]): Promise<Uint8Array> =>
      writeDicom(syntheticImage(), {
        pixels: false,
        elements: [
          ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.481.3"],
          ["00080060", "CS", "RTSTRUCT"],
          ["00100010", "PN", "CANARY^Jane"],
          sequence("30060010", [
            sequence("30060012", [
              sequence("30060014", [
                sequence("30060016", [["00081155", "UI", "1.5.0"]], [["00081155", "UI", "1.5.1"]]),
              ]),
            ]),
          ]),
          sequence(
            "30060020",
            [
              ["30060022", "IS", "7"],
              ["30060026", "LO", "GTV-1"],
            ],
            [
              ["30060022", "IS", "8"],
              ["30060026", "LO", "Jane 2"],
            ],
          ),
          sequence(
            "30060039",
            [sequence("30060040", ...contours), ["30060084", "IS", "7"]],
            [sequence("30060040", contour("1.5.0", ...box(0, 0, 1, 1))), ["30060084", "IS", "8"]],
          ),
        ],
      });
    const images = await putImages();
    // Columns 1 to 5, rows 0 to 3; less columns 2 and 3 of rows 1 and 2.
    const items = await itemsOf(
      dir,
      await write(contour("1.5.0", ...box(0.4, -1, 2.6, 7)), contour("1.5.0", ...box(0.9, 1, 1.6, 5))),
      images,
    );
    expect(
      masksOf(items, ["1.5.0"])
        .get("1.5.0 GTV-1")
        ?.map((value) => value / 255),
    ).toEqual(
      [
        [0, 1, 1, 1, 1, 1],
        [0, 1, 0, 0, 1, 1],
        [0, 1, 0, 0, 1, 1],
        [0, 1, 1, 1, 1, 1],
      ].flat(),
    );
    expect(items).toContainEqual({ kind: "refused" });
    expect(items).toContainEqual({
      kind: "looked-at",
      image: imageKey(secret, "1.5.1"),
      at: "masks",
      among: ["GTV-1"],
    });
    // Without the images nothing can be placed, and nothing is said of any of them.
    expect(await itemsOf(dir, await write(contour("1.5.0", ...box(0, 0, 1, 1))))).toEqual([
      { kind: "unreadable" },
      { kind: "refused" },
    ]);
  });

  it("come from NIfTI, by series, whichever way its axes run", async () => {
    const images = await putImages();
    const voxels = new Uint8Array(6 * 4 * 2);
    // First axis from left to right, second from back to front: the other way round than the images.
    voxels[5 - 2 + 6 * (3 - 1)] = 3;
    voxels[5 - 4 + 6 * (3 - 0) + 24] = 9;
    const affine = [
      [0.5, 0, 0, -10 - 5 * 0.5],
      [0, 2, 0, 20 - 3 * 2],
      [0, 0, 3, 0],
    ];
    const folder = join(dir, "nifti");
    await mkdir(folder);
    await writeFile(join(folder, "1.5.nii"), niftiFile([6, 4, 2], voxels, affine));
    const found = await itemsAt(folder, images);
    const single = (at: number): number[] => Array.from({ length: 24 }, (_, i) => (i === at ? 255 : 0));
    expect(masksOf(found, ["1.5.0", "1.5.1"])).toEqual(
      new Map([
        ["1.5.0 3", single(2 + 6)],
        ["1.5.1 9", single(4)],
      ]),
    );
  });

  it("say nothing from NIfTI that lies elsewhere than its image, or that covers a part of it", async () => {
    const images = await putImages();
    const folder = join(dir, "nifti");
    await mkdir(folder);
    const read = async (size: readonly number[], affine: readonly (readonly number[])[], units = 2) => {
      const voxels = new Uint8Array(size.reduce((product, n) => product * n)).fill(1);
      await writeFile(join(folder, "1.5.nii"), niftiFile(size, voxels, affine, units));
      return (await itemsAt(folder, images)).map(({ kind }) => kind);
    };
    const both = ["looked-at", "mask", "looked-at", "mask"];
    const onImages = [
      [-0.5, 0, 0, -10],
      [0, -2, 0, 20],
      [0, 0, 3, 0],
    ];
    expect(await read([6, 4, 2], onImages)).toEqual(both);
    const identity = [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
    ];
    expect(await read([6, 4, 2], identity)).toEqual(["unreadable"]);
    expect(await read([3, 4, 2], onImages)).toEqual(["unreadable"]);
    const inMicrometres = onImages.map((row) => row.map((value) => 1000 * value));
    expect(await read([6, 4, 2], inMicrometres, 3)).toEqual(both);
  });

  it("say nothing from NIfTI whose marks none of the image's pixels see", async () => {
    const images = await putImages();
    const folder = join(dir, "nifti");
    await mkdir(folder);
    const voxels = new Uint8Array(6 * 4 * 8);
    // Of eight thin slices the images take those at 0 and 3 mm.
    const affine = [
      [-0.5, 0, 0, -10],
      [0, -2, 0, 20],
      [0, 0, 0.5, 0],
    ];
    const read = async () => {
      await writeFile(join(folder, "1.5.nii"), niftiFile([6, 4, 8], voxels, affine));
      return (await itemsAt(folder, images)).map(({ kind }) => kind);
    };
    expect(await read()).toEqual(["looked-at", "looked-at"]);
    voxels[24 * 3] = 1;
    expect(await read()).toEqual(["unreadable"]);
  });

  it("RSNA's patientId is the one image of a patient, else a SOP Instance UID", async () => {
    await putImages();
    const file = await writeDicom(syntheticImage(), {
      elements: [
        ["00080018", "UI", "1.6"],
        ["00100020", "LO", "P2"],
      ],
    });
    await writeFile(join(dir, "images", "2.dcm"), file);
    const images = await indexImages(join(dir, "images"), secret);
    const table = join(dir, "rsna.csv");
    // P1 has two images.
    await writeFile(table, "patientId,x,y,width,height,Target\nP2,,,,,0\nP1,,,,,0\n1.5.0,,,,,0\n");
    expect(await itemsAt(table, images)).toEqual(
      ["1.6", "P1", "1.5.0"].map((uid) => ({
        kind: "looked-at",
        image: imageKey(secret, uid),
        at: "boxes",
        among: ["opacity"],
      })),
    );
  });

  it("are looked for among other files, which are passed over", async () => {
    await putImages();
    await expect(itemsAt(dir)).rejects.toMatchObject({ code: "labels.invalid" });
  });
});

/** NIfTI-1, one file, uint8. */
function niftiFile(
  size: readonly number[],
  voxels: Uint8Array,
  affine: readonly (readonly number[])[],
  units = 2,
): Uint8Array {
  const header = Buffer.alloc(352);
  header.writeInt32LE(348, 0);
  header.writeInt16LE(3, 40);
  for (const [i, n] of size.entries()) header.writeInt16LE(n, 42 + 2 * i);
  for (let i = 3; i < 7; i++) header.writeInt16LE(1, 42 + 2 * i);
  header.writeInt16LE(2, 70);
  header.writeInt16LE(8, 72);
  header.writeFloatLE(352, 108);
  header.writeUInt8(units, 123);
  header.writeInt16LE(1, 254);
  for (const [i, row] of affine.entries())
    for (const [j, value] of row.entries()) header.writeFloatLE(value, 280 + 16 * i + 4 * j);
  header.write("n+1\0", 344, "latin1");
  return Buffer.concat([header, voxels]);
}
