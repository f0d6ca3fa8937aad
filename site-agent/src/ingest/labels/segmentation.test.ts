import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageKey } from "../../dataset/keys.ts";
import {
  itemsOf,
  masksOf,
  refer,
  secret,
  sequence,
  uint32,
  writeSegmentation,
} from "./testing/label-fixture.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-dicom-labels-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe("DICOM segmentations", () => {
  it("have their bits packed across the borders of frames", async () => {
    const size = fc.tuple(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 5 }),
    );
    const cases = size.chain(([rows, columns, count]) =>
      fc.tuple(
        fc.constant({ rows, columns, count }),
        fc.array(fc.integer({ min: 0, max: 1 }), {
          minLength: rows * columns * count,
          maxLength: rows * columns * count,
        }),
        fc.constantFrom("explicit" as const, "big-endian" as const, "implicit" as const),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([{ rows, columns, count }, values, syntax]) => {
        const uids = Array.from({ length: count }, (_, i) => `1.2.${i}`);
        const frames = uids.map((uid) => ({ uid, segment: 1 }));
        const file = await writeSegmentation({
          type: "BINARY",
          rows,
          columns,
          segments: ["lung"],
          frames,
          values,
          syntax,
        });
        const masks = masksOf(await itemsOf(dir, file), uids);
        for (const [i, uid] of uids.entries()) {
          const own = values.slice(i * rows * columns, (i + 1) * rows * columns);
          expect(masks.get(`${uid} lung`) ?? own.map(() => 0)).toEqual(own.map((bit) => 255 * bit));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("keep overlapping segments apart, and join the frames of one", async () => {
    const items = await itemsOf(
      dir,
      await writeSegmentation({
        type: "BINARY",
        rows: 1,
        columns: 4,
        segments: ["lung", "CANARY^Jane"],
        frames: [
          { uid: "1.1", segment: 1 },
          { uid: "1.1", segment: 2 },
          { uid: "1.1", segment: 1 },
        ],
        values: [1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1],
      }),
    );
    // A label that is no name of a class gives way to the code's meaning, without its punctuation.
    expect(masksOf(items, ["1.1"])).toEqual(
      new Map([
        ["1.1 lung", [255, 255, 0, 255]],
        ["1.1 Type 2", [0, 255, 255, 0]],
      ]),
    );
  });

  it("may be fractional, or maps of labels, compressed or not", async () => {
    const frames = [{ uid: "1.1", segment: 1 }];
    const common = { rows: 2, columns: 2, segments: ["lung", "heart"], frames };
    const fractional = await writeSegmentation({ ...common, type: "FRACTIONAL", values: [0, 50, 100, 200] });
    expect(masksOf(await itemsOf(dir, fractional), ["1.1"]).get("1.1 lung")).toEqual([0, 63.75, 127.5, 255]);
    for (const syntax of ["explicit", "rle", "jpeg-ls"] as const) {
      const map = await writeSegmentation({ ...common, type: "LABELMAP", values: [0, 1, 2, 2], syntax });
      expect(masksOf(await itemsOf(dir, map), ["1.1"])).toEqual(
        new Map([
          ["1.1 lung", [0, 255, 0, 0]],
          ["1.1 heart", [0, 0, 255, 255]],
        ]),
      );
    }
  });

  it("may be tiled in full, without a word on any frame", async () => {
    // 3 x 3 pixels in tiles of 2 x 2, two segments: eight frames.
    const tile = (...bits: number[]): number[] => bits;
    const file = await writeSegmentation({
      type: "BINARY",
      rows: 2,
      columns: 2,
      segments: ["tumour", "stroma"],
      frames: [],
      values: [
        ...[tile(1, 0, 0, 0), tile(1, 0, 0, 0), tile(1, 0, 0, 0), tile(1, 1, 1, 1)],
        ...[tile(0, 1, 0, 0), tile(0, 0, 0, 0), tile(0, 0, 0, 0), tile(0, 0, 0, 0)],
      ].flat(),
      elements: [
        ["00209311", "CS", "TILED_FULL"],
        ["00480006", "UL", uint32(3)],
        ["00480007", "UL", uint32(3)],
        sequence("00081115", [refer("0008114a", "1.1")]),
      ],
    });
    expect(masksOf(await itemsOf(dir, file), ["1.1"])).toEqual(
      new Map([
        ["1.1 tumour", [255, 0, 255, 0, 0, 0, 255, 0, 255]],
        ["1.1 stroma", [0, 255, 0, 0, 0, 0, 0, 0, 0]],
      ]),
    );
  });

  it("count images of their series without a frame as looked at; frames of no image as unreadable, and then not", async () => {
    const series = sequence("00081115", [
      sequence("0008114a", [["00081155", "UI", "1.1"]], [["00081155", "UI", "1.2"]]),
    ]);
    const seg = {
      type: "BINARY",
      rows: 1,
      columns: 2,
      segments: ["lung"],
      values: [1, 0],
      elements: [series],
    } as const;
    const seen = await itemsOf(
      dir,
      await writeSegmentation({ ...seg, frames: [{ uid: "1.1", segment: 1 }] }),
    );
    const lookedAt = { kind: "looked-at", image: imageKey(secret, "1.2"), at: "masks", among: ["lung"] };
    expect(seen).toContainEqual(lookedAt);
    const lost = await itemsOf(dir, await writeSegmentation({ ...seg, frames: [] }));
    expect(lost).toEqual([{ kind: "unreadable" }]);
  });

  it("cut at any length are counted, and say nothing of what they hold", async () => {
    const file = await writeSegmentation({
      type: "BINARY",
      rows: 3,
      columns: 5,
      segments: ["lung"],
      frames: [{ uid: "1.1", segment: 1 }],
      values: Array.from({ length: 15 }, () => 1),
    });
    for (let length = 200; length < file.length - 1; length += 23) {
      const error: unknown = await itemsOf(dir, file.subarray(0, length)).catch((reason: unknown) => reason);
      if (!(error instanceof Error)) continue;
      expect(error).toHaveProperty("code", expect.stringMatching(/^(dicom|labels)\./));
      expect(error.message).not.toContain("CANARY");
    }
  });
});
