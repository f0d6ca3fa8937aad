import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeDicom, type FixtureElement } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { DecodePool } from "./decode-pool.ts";

let folder: string;
let pool: DecodePool;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "consilium-decode-"));
  pool = new DecodePool({ threads: 1, timeoutMs: 20_000 });
});
afterAll(async () => {
  await pool.close();
  await rm(folder, { recursive: true, force: true });
});

const planted: FixtureElement[] = [
  ["00080018", "UI", "2.25.CANARY"],
  ["00100010", "PN", "CANARY^Name"],
  ["00100020", "LO", "CANARY"],
  ["00281052", "DS", "-1024"],
  ["00281053", "DS", "2"],
];

it("reports what the pixels are, writes their canonical bytes, and names nobody", async () => {
  const sources = [1, 2, 3].map((seed) =>
    syntheticImage({ seed, bitsAllocated: 16, bitsStored: 12, signed: true }),
  );
  const [image] = sources;
  if (image === undefined) throw new Error("no image");
  const file = join(folder, "CANARY.dcm");
  const frames = sources.map(({ data }) => data);
  await writeFile(file, await writeDicom(image, { syntax: "jpeg-ls", frames, elements: planted }));
  const raw = join(folder, "out.raw");
  const report = await pool.decode({ path: file, raw, expandPalette: false });
  const expected = Buffer.from(Int16Array.from(sources.flatMap(({ stored }) => stored)).buffer);
  expect(await readFile(raw)).toEqual(expected);
  expect((await stat(raw)).mode & 0o077).toBe(0);
  expect(report).toMatchObject({
    rows: image.rows,
    columns: image.columns,
    frames: 3,
    samples: 1,
    dtype: "int16",
    photometric: "MONOCHROME2",
    transferSyntax: "1.2.840.10008.1.2.4.80",
    bytes: expected.length,
    sha256: createHash("sha256").update(expected).digest("hex"),
    perFrame: [{ rescale: { slope: 2, intercept: -1024 } }, {}, {}],
  });
  expect(JSON.stringify(report)).not.toContain("CANARY");
});

it("fails with a code and leaves no half-written file, then goes on", async () => {
  const raw = join(folder, "half.raw");
  const image = syntheticImage();
  const broken = join(folder, "broken.dcm");
  const frames = [image.data, image.data];
  const whole = await writeDicom(image, { syntax: "rle", frames, elements: planted });
  await writeFile(broken, Buffer.from(whole).fill(0, whole.length - 200, whole.length - 8));
  await expect(pool.decode({ path: broken, raw, expandPalette: false })).rejects.toMatchObject({
    code: expect.stringMatching(/^dicom\.(wrong-size|decode-failed)$/) as string,
  });
  await expect(
    pool.decode({ path: join(folder, "CANARY"), raw: null, expandPalette: false }),
  ).rejects.toMatchObject({ code: "dicom.unreadable" });
  await writeFile(join(folder, "sound.dcm"), await writeDicom(image));
  const path = join(folder, "sound.dcm");
  await expect(pool.decode({ path, raw: null, expandPalette: false })).resolves.toMatchObject({ frames: 1 });
  expect(await readdir(folder)).not.toContain("half.raw");
});
