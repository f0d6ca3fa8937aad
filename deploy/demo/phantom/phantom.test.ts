import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import dicomParser from "dicom-parser";
import { decode as decodePng } from "fast-png";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lungBoxes, opacityBoxes } from "./boxes.ts";
import { imagesOf, makeHospital, pictures, type Picture } from "./hospital.ts";
import { HOSPITALS, type Hospital } from "./vendors.ts";

const OPTIONS = { seed: 5, images: 12 };

function hospital(name: string): Hospital {
  const found = HOSPITALS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no hospital ${name}`);
  return found;
}

function firstOf(each: Iterable<Picture>): Picture | undefined {
  for (const picture of each) return picture;
  return undefined;
}

describe("pictures", () => {
  const drawn = HOSPITALS.flatMap((each) => [...pictures(each, OPTIONS)]);

  it("are the same for the same seed and others for another", () => {
    const a = hospital("hospital-a");
    const first = (seed: number): Picture | undefined => firstOf(pictures(a, { seed, images: 8 }));
    expect(first(1)).toEqual(first(1));
    expect(first(2)?.film).not.toEqual(first(1)?.film);
  });

  it("do not depend on how many are asked for", () => {
    const b = hospital("hospital-b");
    const few = [...pictures(b, { seed: 1, images: 8 })];
    const more = [...pictures(b, { seed: 1, images: 10 })];
    expect(more.slice(0, few.length)).toEqual(few);
  });

  it("are brighter inside an opacity's box than the same chest is without the opacity", () => {
    for (const { projection, label } of drawn) {
      const boxes = opacityBoxes(projection);
      if (label === "normal") {
        expect(boxes).toEqual([]);
        continue;
      }
      expect(boxes.length).toBeGreaterThan(0);
      for (const { x, y, width, height } of boxes) {
        let inside = 0;
        for (let row = y; row < y + height; row++) {
          for (let column = x; column < x + width; column++) {
            inside += projection.opacity[row * projection.columns + column] ?? 0;
          }
        }
        const outside = projection.opacity.reduce((sum, value) => sum + value, 0) - inside;
        const area = width * height;
        expect(inside / area).toBeGreaterThan(outside / (projection.opacity.length - area));
      }
    }
  });

  it("have two lungs of plausible size, the right one on the image's left", () => {
    for (const { projection } of drawn) {
      const { rows, columns, lungs } = projection;
      const [right, left] = lungBoxes(projection);
      expect([right?.label, left?.label]).toEqual(["right_lung", "left_lung"]);
      expect((right?.x ?? 0) + (right?.width ?? 0) / 2).toBeLessThan((left?.x ?? 0) + (left?.width ?? 0) / 2);
      const covered = lungs.filter((side) => side > 0).length / (rows * columns);
      expect(covered).toBeGreaterThan(0.12);
      expect(covered).toBeLessThan(0.6);
    }
  });

  it("show the lungs darker than the heart and the abdomen between them", () => {
    for (const { projection, film, label } of drawn) {
      if (label !== "normal") continue;
      const mean = (wanted: (side: number, index: number) => boolean): number => {
        const values = film.filter((_, index) => wanted(projection.lungs[index] ?? 0, index));
        return values.reduce((sum, value) => sum + value, 0) / values.length;
      };
      const body = (index: number): boolean => (projection.path[index] ?? 0) > 0.8;
      expect(mean((side) => side > 0)).toBeLessThan(mean((side, index) => side === 0 && body(index)));
    }
  });

  it("come from patients who sometimes return, and never at two hospitals", () => {
    const patients = HOSPITALS.map(
      (each) =>
        new Map(
          [...pictures(each, { seed: 1, images: 16 })].map(
            ({ header }) => [header.patientId, header] as const,
          ),
        ),
    );
    const ids = patients.flatMap((each) => [...each.keys()]);
    expect(new Set(ids).size).toBe(ids.length);
    const images = HOSPITALS.reduce((sum, each) => sum + imagesOf(each, 16), 0);
    expect(ids.length).toBeLessThan(images);
  });
});

describe("files", () => {
  let folder = "";
  const a = hospital("hospital-a");
  const c = hospital("hospital-c");

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "consilium-phantom-"));
    await makeHospital(join(folder, "a"), a, OPTIONS);
    await makeHospital(join(folder, "c"), c, OPTIONS);
    await makeHospital(join(folder, "again"), c, OPTIONS);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const contents = async (name: string): Promise<Map<string, Buffer>> => {
    const entries = await readdir(join(folder, name), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    return new Map(
      await Promise.all(
        files.map(async (entry) => [entry.name, await readFile(join(entry.parentPath, entry.name))] as const),
      ),
    );
  };

  it("are the same bytes for the same seed", async () => {
    const digest = async (name: string): Promise<string> => {
      const hash = createHash("sha256");
      for (const [file, bytes] of [...(await contents(name))].sort(([x], [y]) => x.localeCompare(y))) {
        hash.update(file).update(bytes);
      }
      return hash.digest("hex");
    };
    expect(await digest("again")).toBe(await digest("c"));
  });

  it("are DICOM as their scanner writes it, with identifiers that are planted", async () => {
    const files = [...(await contents("c"))].filter(([name]) => name.startsWith("2.25."));
    const images = files.filter(([name]) => name.endsWith(".dcm"));
    expect(images).toHaveLength(imagesOf(c, OPTIONS.images));
    const syntaxes = new Set<string | undefined>();
    for (const [name, bytes] of images) {
      const dataSet = dicomParser.parseDicom(bytes);
      syntaxes.add(dataSet.string("x00020010"));
      expect(`${dataSet.string("x00080018") ?? ""}.dcm`).toBe(name);
      expect(dataSet.string("x00100020")).toMatch(/^CANARY-/);
      expect([dataSet.uint16("x00280010"), dataSet.uint16("x00280011")]).toEqual([124, 132]);
      const stored = dataSet.uint16("x00280101") ?? 0;
      expect(dataSet.uint16("x00280102")).toBe(stored - 1);
      const pixels = dataSet.elements["x7fe00010"];
      if (pixels?.fragments === undefined) expect(pixels?.length).toBe(124 * 132 * 2);
      else expect(pixels.fragments).toHaveLength(1);
    }
    expect([...syntaxes].sort()).toEqual(["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"]);
  });

  it("are labelled, boxed and masked alike", async () => {
    const files = await contents("a");
    const rows = (name: string): string[][] =>
      (files.get(name)?.toString() ?? "")
        .trimEnd()
        .split("\n")
        .slice(1)
        .map((row) => row.split(","));
    const labels = new Map(rows("labels.csv").map(([uid, , label]) => [uid, label]));
    expect(labels.size).toBe(imagesOf(a, OPTIONS.images));
    expect(new Set(labels.values())).toEqual(new Set(["normal", "opacity"]));
    const boxed = new Set(rows("boxes.csv").flatMap(([uid, label]) => (label === "opacity" ? [uid] : [])));
    for (const [uid, label] of labels) {
      expect(files.has(`${uid ?? ""}.dcm`)).toBe(true);
      expect(boxed.has(uid)).toBe(label === "opacity");
      const mask = decodePng(files.get(`${uid ?? ""}.png`) ?? new Uint8Array());
      expect([mask.width, mask.height, mask.depth, mask.channels]).toEqual([128, 128, 1, 1]);
    }
  });

  it("include a few that must be set aside", async () => {
    const files = await contents("a");
    expect(files.get("bad-empty.dcm")).toHaveLength(0);
    expect(() => dicomParser.parseDicom(files.get("bad-text.dcm") ?? new Uint8Array())).toThrow();
    expect(
      dicomParser.parseDicom(files.get("bad-report.dcm") ?? new Uint8Array()).elements["x7fe00010"],
    ).toBe(undefined);
    expect(files.has("bad-truncated.dcm")).toBe(true);
  });
});
