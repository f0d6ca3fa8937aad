import { describe, expect, it } from "vitest";
import { intoSquare, intoView } from "./rectangles.ts";
import { targetsOf } from "./targets.ts";

const config = { imagePx: 32, patchPx: 8, channels: 1, width: 8, depth: 1, heads: 1 };

describe("what tokens should say", () => {
  it("is 1 at the patch of the centre and less around it", () => {
    const box = { class: 1, left: 2, top: 8, right: 26, bottom: 31 };
    const { heat, boxes, nearness } = targetsOf([box], config, 2);
    const centre = 2 * 4 + 1; // (14, 19.5) lies in row 2, column 1
    expect(heat[2 * centre + 1]).toBe(1);
    expect(heat[2 * centre]).toBe(0);
    expect([...boxes.subarray(4 * centre, 4 * centre + 4)]).toEqual([2, 8, 26, 31]);
    expect(heat[2 * (centre + 1) + 1]).toBeCloseTo(Math.exp(-((1 / (24 / 6 / 8)) ** 2) / 2));
    expect(nearness[centre + 1]).toBeCloseTo(heat[2 * (centre + 1) + 1] ?? NaN);
    expect(nearness[3]).toBe(0);
  });

  it("gives a token between two boxes to the smaller, and a tiny box its token", () => {
    const large = { class: 0, left: 0, top: 0, right: 32, bottom: 32 };
    const tiny = { class: 0, left: 17, top: 17, right: 19, bottom: 18 };
    const { boxes, heat } = targetsOf([tiny, large], config, 1);
    const centre = 2 * 4 + 2;
    expect(heat[centre]).toBe(1);
    expect([...boxes.subarray(4 * centre, 4 * centre + 4)]).toEqual([17, 17, 19, 18]);
    expect(targetsOf([], config, 1).nearness.every((near) => near === 0)).toBe(true);
  });
});

describe("a box follows its image", () => {
  it("into the cached square", () => {
    const place = { left: 0, top: 5, width: 40, height: 30 };
    const box = intoSquare({ left: 20, top: 30, right: 40, bottom: 60 }, place, { rows: 60, columns: 80 });
    expect(box).toEqual({ left: 10, top: 20, right: 20, bottom: 35 });
  });

  it("into a crop, and mirrored", () => {
    const box = { left: 10, top: 10, right: 30, bottom: 20 };
    const crop = { left: 10, top: 0, width: 40, height: 20, flip: false };
    expect(intoView(box, crop, 20)).toEqual({ left: 0, top: 10, right: 10, bottom: 20 });
    expect(intoView(box, { ...crop, flip: true }, 20)).toEqual({ left: 10, top: 10, right: 20, bottom: 20 });
    expect(intoView(box, { ...crop, left: 20 }, 20)).toEqual({ left: 0, top: 10, right: 5, bottom: 20 });
  });
});
