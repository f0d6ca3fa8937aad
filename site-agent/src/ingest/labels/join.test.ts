import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { encode } from "fast-png";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readBoxes } from "../../dataset/boxes.ts";
import { readAllFindings } from "../../dataset/class-source.ts";
import { CacheWriter } from "../../dataset/cache-writer.ts";
import { readFindings } from "../../dataset/findings.ts";
import { imageKey } from "../../dataset/keys.ts";
import { readLabels } from "../../dataset/labels.ts";
import { openMasks } from "../../dataset/masks.ts";
import { ingestFolder } from "../ingest.ts";
import { placeInSquare } from "../resize.ts";
import { addLabels, type LabelSummary } from "./join.ts";
import { secret, writeSegmentation } from "./testing/label-fixture.ts";

const SIZE = 4;
let dir: string;
let cacheDir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-join-"));
  cacheDir = join(dir, "cache");
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const key = (uid: string): string => imageKey(secret, uid);

/** Images of 4 rows x 8 columns named 1.1, 1.2 and so on. */
async function putCache(count: number): Promise<void> {
  const writer = await CacheWriter.open(cacheDir, SIZE);
  for (let i = 1; i <= count; i++) {
    const record = { modality: "CR", view: null, bodyPart: null, rows: 4, columns: 8, patient: key(`p${i}`) };
    await writer.append({ image: key(`1.${i}`), ...record }, new Uint8Array(SIZE ** 2));
  }
  await writer.commit();
  await writer.close();
}

const add = (...paths: string[]): Promise<LabelSummary> =>
  addLabels({ paths, cacheDir, secret, imagesFolder: null });

async function put(name: string, data: string | Uint8Array): Promise<string> {
  const path = join(dir, name);
  await mkdir(resolve(path, ".."), { recursive: true });
  await writeFile(path, data);
  return path;
}

async function maskOf(uid: string, label: string): Promise<readonly number[]> {
  const masks = await openMasks(cacheDir);
  try {
    const out = new Uint8Array((masks?.classes.length ?? 0) * SIZE ** 2);
    masks?.read(key(uid), out);
    const at = masks?.classes.indexOf(label) ?? -1;
    return [...out.subarray(at * SIZE ** 2, (at + 1) * SIZE ** 2)];
  } finally {
    masks?.close();
  }
}

/** 4 rows x 8 columns. */
const png = (data: readonly number[]): Uint8Array =>
  encode({ width: 8, height: 4, channels: 1, depth: 8, data: Uint8Array.from(data) });

describe("labels join the cache", () => {
  it("classes: new ones win, others stay, rows that disagree take the label away", async () => {
    await putCache(4);
    await add(await put("old.csv", "sop_instance_uid,label\n1.1,old\n1.3,old\n1.4,old\n"));
    const counts = await add(
      await put("new.csv", "sop_instance_uid,label\n1.1,a\n1.1,a\n1.2,b\n1.3,a\n1.3,b\n1.9,a\n"),
    );
    expect(counts).toMatchObject({ matched: 2, unmatched: 1, duplicates: 2, conflicts: 1 });
    expect(counts.sources).toMatchObject([{ form: "class-table", files: 1 }]);
    expect(await readLabels(cacheDir)).toEqual(
      new Map(Object.entries({ [key("1.1")]: "a", [key("1.2")]: "b", [key("1.4")]: "old" })),
    );
  });

  it("findings: several for an image, or none, or not known", async () => {
    await putCache(4);
    await add(await put("f.csv", "sop_instance_uid,nodule,mass\n1.1,1,1\n1.2,0,0\n1.3,,\n1.4,,1\n"));
    const found = {
      [key("1.1")]: { present: ["mass", "nodule"], unknown: [] },
      [key("1.2")]: { present: [], unknown: [] },
      [key("1.4")]: { present: ["mass"], unknown: ["nodule"] },
    };
    expect(await readFindings(cacheDir)).toEqual(new Map(Object.entries(found)));

    // Another table speaks of another finding: of the images that only one of the two holds, the other is not known.
    await add(await put("g.csv", "sop_instance_uid,fracture\n1.1,1\n1.2,0\n1.3,0\n"));
    expect(await readFindings(cacheDir)).toEqual(
      new Map(
        Object.entries({
          [key("1.1")]: { present: ["fracture", "mass", "nodule"], unknown: [] },
          [key("1.2")]: { present: [], unknown: [] },
          [key("1.3")]: { present: [], unknown: ["mass", "nodule"] },
          [key("1.4")]: { present: ["mass"], unknown: ["fracture", "nodule"] },
        }),
      ),
    );
    expect(await readLabels(cacheDir)).toEqual(new Map());
  });

  it("boxes: of a class that only another source looked for nothing is known", async () => {
    await putCache(4);
    const header = "sop_instance_uid,label,x,y,width,height\n";
    await add(await put("a.csv", `${header}1.1,lung,1,1,2,2\n1.2,,,,,\n`));
    await add(await put("b.csv", `${header}1.1,,,,,\n1.3,heart,1,1,2,2\n`));
    await add(await put("c.csv", "patientId,x,y,width,height,Target\n1.4,,,,,0\n"));
    const { known } = await readBoxes(cacheDir);
    expect(known.get(key("1.1"))).toEqual(new Set(["heart", "lung"]));
    expect(known.get(key("1.2"))).toEqual(new Set(["lung"]));
    expect(known.get(key("1.3"))).toEqual(new Set(["heart"]));
    expect(known.get(key("1.4"))).toEqual(new Set(["opacity"]));
    expect((await readAllFindings(cacheDir, "boxes")).get(key("1.2"))).toEqual({
      present: [],
      unknown: ["heart"],
    });
  });

  it("masks: of a class that only another source, or another file, looked for nothing is known", async () => {
    await putCache(4);
    const some = png([1, ...new Array<number>(31).fill(0)]);
    const none = png(new Array<number>(32).fill(0));
    await put("lungs/1.1_lung.png", some);
    await put("lungs/1.2_lung.png", none);
    await add(join(dir, "lungs"));
    await put("more/1.2_heart.png", some);
    await put("more/1.3_spleen.png", some);
    await add(join(dir, "more"));
    const masks = await openMasks(cacheDir);
    masks?.close();
    expect(masks?.known).toEqual(
      new Map([
        [key("1.1"), new Set(["lung"])],
        [key("1.2"), new Set(["heart", "lung"])],
        [key("1.3"), new Set(["spleen"])],
      ]),
    );
    expect(await readAllFindings(cacheDir, "masks")).toEqual(
      new Map([
        [key("1.1"), { present: ["lung"], unknown: ["heart", "spleen"] }],
        [key("1.2"), { present: ["heart"], unknown: ["spleen"] }],
        [key("1.3"), { present: ["spleen"], unknown: ["heart", "lung"] }],
      ]),
    );
  });

  it("boxes: an image that is said to show nothing and something gets neither; classes of another source stay", async () => {
    await putCache(3);
    const header = "sop_instance_uid,label,x,y,width,height\n";
    await add(await put("a.csv", `${header}1.1,heart,0,0,2,2\n1.1,lung,1,1,2,2\n`));
    const counts = await add(
      await put(
        "b.csv",
        `${header}1.1,lung,3,1,2,2\n1.1,lung,3,1,2,2\n1.2,,,,,\n1.3,lung,1,1,1,1\n1.3,,,,,\n9.9,lung,1,1,1,1\n`,
      ),
    );
    expect(counts).toMatchObject({ matched: 2, unmatched: 1, duplicates: 1, conflicts: 1 });
    expect((await readBoxes(cacheDir)).boxes).toEqual(
      new Map(
        Object.entries({
          [key("1.1")]: [
            { label: "heart", x: 0, y: 0, width: 2, height: 2 },
            { label: "lung", x: 3, y: 1, width: 2, height: 2 },
          ],
          [key("1.2")]: [],
        }),
      ),
    );
  });

  it("masks: in the cached square's geometry, of any depth, by name or by folder; other classes stay", async () => {
    await putCache(3);
    const png = (depth: 1 | 8 | 16, data: number[], height = 4, width = 8): Uint8Array =>
      encode({
        width,
        height,
        depth,
        channels: 1,
        data: depth === 16 ? Uint16Array.from(data) : Uint8Array.from(data),
      });
    // The left half of the image is the left half of the two middle rows of the square.
    const left = Array.from({ length: 32 }, (_, i) => (i % 8 < 4 ? 1 : 0));
    await put("masks/1.1_left.png", png(8, left));
    await put(
      "masks/right/1.1.png",
      png(
        16,
        left.map((bit) => 40_000 * (1 - bit)),
      ),
    );
    await put("masks/1.2.png", png(1, [0xf0, 0xf0, 0xf0, 0xf0]));
    await put("masks/1.3.png", png(8, [1, 1, 1, 1], 2, 2));
    await put("masks/1.1_CANARY^Jane.png", png(8, left));
    await put("masks/CANARY.png", png(8, left));
    await put("masks/readme.txt", "CANARY");
    const counts = await add(join(dir, "masks"));
    expect(counts).toMatchObject({ matched: 2, unmatched: 0, duplicates: 0, refused: 1, unreadable: 2 });
    const leftHalf = [0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0];
    const rightHalf = [0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 0, 0];
    expect(await maskOf("1.1", "left")).toEqual(leftHalf);
    expect(await maskOf("1.1", "right")).toEqual(rightHalf);
    expect(await maskOf("1.2", "mask")).toEqual(leftHalf);
    expect((await openMasks(cacheDir))?.images).toEqual(new Set([key("1.1"), key("1.2")]));
    const seg = await writeSegmentation({
      type: "BINARY",
      rows: 4,
      columns: 8,
      segments: ["left", "tumour"],
      frames: [
        { uid: "1.1", segment: 1 },
        { uid: "1.3", segment: 2 },
        { uid: "1.8", segment: 2 },
      ],
      values: [...left.map((bit) => 1 - bit), ...left, ...left],
    });
    expect(await add(await put("seg.dcm", seg))).toMatchObject({ matched: 2, unmatched: 1 });
    expect(await maskOf("1.1", "left")).toEqual(rightHalf);
    expect(await maskOf("1.1", "right")).toEqual(rightHalf);
    expect(await maskOf("1.3", "tumour")).toEqual(leftHalf);
    expect(await maskOf("1.3", "left")).toEqual(leftHalf.map(() => 0));
    const files = await readdir(cacheDir);
    expect(files.filter((name) => name.startsWith("masks-"))).toHaveLength(1);
    for (const name of files) expect((await readFile(join(cacheDir, name))).includes("CANARY")).toBe(false);
  });

  it("say where nothing fits, and change nothing then", async () => {
    await putCache(1);
    await expect(add(await put("a.csv", "sop_instance_uid,label\n9.9,a\n"))).rejects.toMatchObject({
      code: "labels.unmatched",
    });
    await expect(add(join(dir, "CANARY"))).rejects.toMatchObject({
      code: "labels.invalid",
      message: expect.not.stringContaining("CANARY") as string,
    });
    expect(await readdir(cacheDir)).not.toContain("labels.json");
  });
});

const data = resolve(import.meta.dirname, "../../../../../shared/data/pediatric-cxr/hospital-a");

describe.skipIf(!existsSync(data))("labels of real radiographs (skipped without ../shared/data)", () => {
  it("have masks and boxes that agree within a pixel", async () => {
    // A few images are enough; labels of the others are counted as not here.
    const from = join(data, "dicom", "00");
    await mkdir(join(dir, "images"));
    for (const name of (await readdir(from)).sort().slice(0, 120))
      await symlink(join(from, name), join(dir, "images", name));
    const summary = await ingestFolder({
      folder: join(dir, "images"),
      cacheDir,
      secret,
      sizePx: 224,
      threads: 2,
      labels: [join(data, "masks"), join(data, "boxes.csv"), join(data, "labels.csv")],
    });
    expect(summary.labels.sources.map(({ form }) => form)).toEqual([
      "mask-images",
      "box-table",
      "class-table",
    ]);
    const masks = await openMasks(cacheDir);
    const { boxes } = await readBoxes(cacheDir);
    expect(masks?.classes).toEqual(["mask"]);
    expect(masks?.images).toEqual(new Set(boxes.keys()));
    expect(boxes.size).toBeGreaterThan(10);
    expect(placeInSquare(224, 224, 224)).toEqual({ left: 0, top: 0, width: 224, height: 224 });
    for (const [image, found] of boxes) {
      const out = new Uint8Array(224 ** 2);
      masks?.read(image, out);
      const pixels = [...out.entries()]
        .filter(([, value]) => value > 127)
        .map(([i]) => [i % 224, Math.floor(i / 224)] as const);
      const extent = [
        Math.min(...pixels.map(([x]) => x)),
        Math.min(...pixels.map(([, y]) => y)),
        Math.max(...pixels.map(([x]) => x + 1)),
        Math.max(...pixels.map(([, y]) => y + 1)),
      ];
      const expected = [
        Math.min(...found.map(({ x }) => x)),
        Math.min(...found.map(({ y }) => y)),
        Math.max(...found.map(({ x, width }) => x + width)),
        Math.max(...found.map(({ y, height }) => y + height)),
      ];
      for (const [i, edge] of extent.entries())
        expect(Math.abs(edge - (expected[i] ?? NaN))).toBeLessThanOrEqual(1);
    }
    masks?.close();
  });
});
