import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readBoxes, writeBoxes, type Box } from "./boxes.ts";
import { readFindings, writeFindings } from "./findings.ts";
import { openMasks } from "./masks.ts";
import { MaskWriter } from "./masks-writer.ts";

const A = "a".repeat(32);
const B = "b".repeat(32);
const square = { sizePx: 4, depthPx: 1 };
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-masks-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const masksOf = (first: number): Uint8Array =>
  Uint8Array.from({ length: 2 * 16 }, (_, i) => (first + i) % 256);

async function write(images: readonly string[], classes = ["left", "right"]): Promise<void> {
  const writer = new MaskWriter(dir, classes, square);
  for (const [i, image] of images.entries()) await writer.append(image, masksOf(i * 100));
  await writer.finish();
}

describe("masks beside a cache", () => {
  it("read what was written, in any order", async () => {
    expect(await openMasks(dir)).toBeNull();
    await write([A, B]);
    const masks = await openMasks(dir);
    expect(masks).toMatchObject({ classes: ["left", "right"], sizePx: 4, images: new Set([A, B]) });
    const out = new Uint8Array(32);
    for (const [image, first] of [
      [B, 100],
      [A, 0],
    ] as const) {
      masks?.read(image, out);
      expect(out).toEqual(masksOf(first));
    }
    expect(() => masks?.read("c".repeat(32), out)).toThrow(RangeError);
    masks?.close();
  });

  it("are replaced in one step: a writer that stops changes nothing, a set that is open reads on", async () => {
    await write([A]);
    const before = await openMasks(dir);
    const stopped = new MaskWriter(dir, ["left", "right"], square);
    await stopped.append(B, masksOf(7));
    expect((await openMasks(dir))?.images).toEqual(new Set([A]));
    await stopped.abandon();
    await write([B], ["one", "two"]);
    expect((await openMasks(dir))?.classes).toEqual(["one", "two"]);
    const out = new Uint8Array(32);
    before?.read(A, out);
    expect(out).toEqual(masksOf(0));
    before?.close();
    expect(await readdir(dir)).toHaveLength(2);
  });

  it("say when they are damaged", async () => {
    await write([A]);
    const shard = (await readdir(dir)).find((name) => name.endsWith(".u8")) ?? "";
    const bytes = await readFile(join(dir, shard));
    bytes[3] = 77;
    await writeFile(join(dir, shard), bytes);
    const masks = await openMasks(dir);
    expect(() => masks?.read(A, new Uint8Array(32))).toThrow(
      expect.objectContaining({ code: "cache.corrupt" }),
    );
    masks?.close();
    await truncate(join(dir, shard), 5);
    await expect(openMasks(dir)).rejects.toMatchObject({ code: "cache.corrupt" });
    await writeFile(join(dir, "masks.json"), "{}");
    await expect(openMasks(dir)).rejects.toMatchObject({ code: "cache.corrupt" });
  });
});

describe("what was looked for", () => {
  const box: Box = { label: "left", x: 0, y: 0, width: 1, height: 1 };

  it("is kept image by image", async () => {
    const writer = new MaskWriter(dir, ["left", "right"], square);
    await writer.append(A, masksOf(0));
    await writer.append(B, masksOf(1), new Set(["right", "other"]));
    await writer.finish();
    const known = new Map([
      [A, new Set(["left", "right"])],
      [B, new Set(["other", "right"])],
    ]);
    const masks = await openMasks(dir);
    masks?.close();
    expect(masks?.known).toEqual(known);
    await writeBoxes(
      dir,
      new Map([
        [A, [box]],
        [B, []],
      ]),
      new Map([[B, new Set(["right"])]]),
    );
    expect((await readBoxes(dir)).known).toEqual(
      new Map([
        [A, new Set(["left"])],
        [B, new Set(["right"])],
      ]),
    );
  });

  it("is everything on each image of files of version 1, which say no more", async () => {
    await write([A]);
    const path = join(dir, "masks.json");
    await writeFile(path, (await readFile(path, "utf8")).replace('"version":2', '"version":1'));
    const masks = await openMasks(dir);
    masks?.close();
    expect(masks?.known).toEqual(new Map([[A, new Set(["left", "right"])]]));
    await writeFile(join(dir, "boxes.json"), JSON.stringify({ version: 1, boxes: { [A]: [box], [B]: [] } }));
    expect((await readBoxes(dir)).known.get(B)).toEqual(new Set(["left"]));
  });
});

describe("boxes and findings beside a cache", () => {
  it("read what was written; nothing found is not the same as not looked at", async () => {
    const box: Box = { label: "opacity", x: 1.5, y: -2, width: 10, height: 0.5 };
    expect((await readBoxes(dir)).boxes).toEqual(new Map());
    await writeBoxes(
      dir,
      new Map([
        [B, [box, box]],
        [A, []],
      ]),
    );
    expect((await readBoxes(dir)).boxes).toEqual(
      new Map([
        [A, []],
        [B, [box, box]],
      ]),
    );
    await writeFindings(
      dir,
      new Map([
        [A, { present: ["effusion", "nodule"], unknown: [] }],
        [B, { present: [], unknown: ["nodule"] }],
      ]),
    );
    expect(await readFindings(dir)).toEqual(
      new Map([
        [A, { present: ["effusion", "nodule"], unknown: [] }],
        [B, { present: [], unknown: ["nodule"] }],
      ]),
    );
  });

  it("say when they are damaged, and never what is in them", async () => {
    await writeFile(join(dir, "boxes.json"), '{"version":1,"boxes":{"CANARY":[]}}');
    await expect(readBoxes(dir)).rejects.toMatchObject({
      code: "cache.corrupt",
      message: expect.not.stringContaining("CANARY") as string,
    });
    await writeFile(join(dir, "findings.json"), "CANARY");
    await expect(readFindings(dir)).rejects.toMatchObject({ code: "cache.corrupt" });
  });
});
