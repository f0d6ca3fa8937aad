import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREY_IMAGES } from "@consilium/shared/input-profile";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readImage, type ReadResult } from "./read-image.ts";
import { writeDicom, type FixtureElement } from "./testing/dicom-fixture.ts";
import { packSamples, syntheticImage, type FixtureImage } from "./testing/synthetic-image.ts";

const secret = new Uint8Array(32).fill(3);
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-read-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function read(image: FixtureImage, elements: readonly FixtureElement[]): Promise<ReadResult> {
  const path = join(dir, "image.dcm");
  await writeFile(path, await writeDicom(image, { elements }));
  return readImage(
    { path, relativePath: "image.dcm" },
    { secret, sizePx: 20, profile: GREY_IMAGES, isCached: () => false },
  );
}

const us16 = (value: number): Uint8Array => Uint8Array.of(value, 0, 0, 0);
const ultrasound: readonly FixtureElement[] = [
  ["00080060", "CS", "US"],
  ["00281050", "DS", "128"],
  ["00281051", "DS", "256"],
];
const region: FixtureElement = [
  "00186011",
  "SQ",
  {
    items: [
      [
        ["00186012", "US", 1],
        ["00186014", "US", 1],
        ["00186018", "UL", us16(4)],
        ["0018601a", "UL", us16(10)],
        ["0018601c", "UL", us16(23)],
        ["0018601e", "UL", us16(29)],
      ],
    ],
  },
];

it("caches of an ultrasound image its region and nothing of the machine's banner", async () => {
  const inner = syntheticImage({ rows: 20, columns: 20 });
  const stored = Array.from({ length: 40 * 32 }, (_, i) => {
    const [y, x] = [Math.floor(i / 32) - 10, (i % 32) - 4];
    const inside = y >= 0 && y < 20 && x >= 0 && x < 20;
    return inside ? (inner.stored[y * 20 + x] ?? 0) : 255;
  });
  const screen = { ...syntheticImage({ rows: 40, columns: 32 }), data: packSamples(stored, 8) };
  const whole = await read(screen, [...ultrasound, region]);
  const alone = await read(inner, [...ultrasound.slice(1), ["00080060", "CS", "OT"]]);
  if (whole.outcome !== "read" || alone.outcome !== "read") throw new Error("both are used");
  expect(whole.record).toMatchObject({ modality: "US", rows: 20, columns: 20, left: 4, top: 10 });
  expect(whole.pixels).toEqual(alone.pixels);
});

it("takes no segmentation for an image", async () => {
  const segmentation: FixtureElement = ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.66.4"];
  expect(await read(syntheticImage(), [segmentation])).toMatchObject({ code: "dicom.no-pixels" });
});

it("sets ultrasound without a region aside", async () => {
  expect(await read(syntheticImage(), ultrasound)).toMatchObject({ code: "dicom.burned-in" });
});

it("keeps the class of the vendor and the spacing, never what the header says", async () => {
  const described = async (...elements: readonly FixtureElement[]): Promise<object> => {
    const result = await read(syntheticImage(), elements);
    if (result.outcome !== "read") throw new Error("it is used");
    return result.record;
  };
  expect(
    await described(["00080070", "LO", "SIEMENS Healthineers CANARY"], ["00181164", "DS", "0.14\\0.16"]),
  ).toMatchObject({ vendor: "siemens", spacingUm: 150 });
  expect(await described(["00080070", "LO", "CANARY Ward 3"], ["00280030", "DS", "0.5\\0.5"])).toMatchObject({
    vendor: "other",
    spacingUm: 500,
  });
  const bare = await described(["00280030", "DS", "CANARY\\0.5"]);
  expect(bare).not.toHaveProperty("vendor");
  expect(bare).not.toHaveProperty("spacingUm");
  expect(bare).not.toHaveProperty("left");
});
