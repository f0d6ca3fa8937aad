import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  averagePrecision,
  frocCurve,
  frocScore,
  matchDetections,
  meanAveragePrecision,
  type Located,
} from "./detection-metrics.ts";
import { iou, suppress, type Detection, type Target } from "./rectangles.ts";

const box = (left: number, top = 0, c = 0): Target => ({
  class: c,
  left,
  top,
  right: left + 10,
  bottom: top + 10,
});
const said = (score: number, left: number, top = 0, c = 0): Detection => ({ ...box(left, top, c), score });

const target = fc
  .record({
    class: fc.nat(1),
    left: fc.nat(50),
    top: fc.nat(50),
    width: fc.integer({ min: 1, max: 30 }),
    height: fc.integer({ min: 1, max: 30 }),
  })
  .map(({ class: c, left, top, width, height }): Target => ({
    class: c,
    left,
    top,
    right: left + width,
    bottom: top + height,
  }));
const detection = fc
  .tuple(target, fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([rectangle, score]): Detection => ({ ...rectangle, score }));

describe("rectangles", () => {
  it("overlap as one works out by hand", () => {
    expect(iou(box(0), box(5))).toBeCloseTo(50 / 150);
    expect(iou(box(0), box(20))).toBe(0);
  });

  it("are the same after a second suppression, and none that is kept covers another of its class", () => {
    fc.assert(
      fc.property(fc.array(detection, { maxLength: 20 }), (detections) => {
        const kept = suppress(detections, 0.5);
        expect(suppress(kept, 0.5)).toEqual(kept);
        for (const [i, a] of kept.entries()) {
          for (const b of kept.slice(0, i))
            if (a.class === b.class) expect(iou(a, b)).toBeLessThanOrEqual(0.5);
        }
        const best = detections.reduce((top, { score }) => Math.max(top, score), 0);
        if (detections.length > 0) expect(kept[0]?.score).toBe(best);
      }),
    );
  });
});

describe("average precision", () => {
  it("is what one works out by hand", () => {
    // By score: right, wrong, right, with one box of three never found: (1 x 1 + 2/3 x 1) / 3.
    const images: Located[] = [
      { truth: [box(0), box(100)], detections: [said(0.9, 0), said(0.8, 50)] },
      { truth: [box(0)], detections: [said(0.7, 1)] },
    ];
    expect(averagePrecision(images, 0)()).toBeCloseTo((1 + 2 / 3) / 3);
    // The second image twice: three of four boxes found, precision at the end 3/4.
    expect(averagePrecision(images, 0)([1, 2])).toBeCloseTo((1 + 2 * (3 / 4)) / 4);
    expect(averagePrecision(images, 1)()).toBeNull();
  });

  it("counts the second detection of a box as wrong", () => {
    const images: Located[] = [
      { truth: [box(0), box(40)], detections: [said(0.9, 0), said(0.8, 1), said(0.7, 40)] },
    ];
    expect(averagePrecision(images, 0)()).toBeCloseTo((1 + 2 / 3) / 2);
  });

  it("counts the second detection of a box as wrong, though it overlaps another enough that is free", () => {
    // The second overlaps the first box by 9/11, the other by 7/13.
    const truth = [box(0), box(4)];
    const detections = [said(0.9, 0), said(0.8, 1)];
    expect(matchDetections({ truth, detections })).toEqual([true, false]);
    // One of two boxes is found, at once.
    expect(averagePrecision([{ truth, detections }], 0)()).toBeCloseTo(1 / 2);
    // The same box twice in the truth is two boxes.
    expect(matchDetections({ truth: [box(0), box(0)], detections })).toEqual([true, true]);
  });

  it("raises precision to the best at no less recall", () => {
    const images: Located[] = [
      { truth: [box(0), box(40)], detections: [said(0.9, 80), said(0.8, 0), said(0.7, 40)] },
    ];
    expect(averagePrecision(images, 0)()).toBeCloseTo(2 / 3);
  });

  it("is 1 for whoever says the truth, and so is FROC", () => {
    fc.assert(
      fc.property(fc.array(fc.array(target, { maxLength: 4 }), { minLength: 1, maxLength: 5 }), (truths) => {
        const images = truths.map((truth): Located => {
          return { truth, detections: truth.map((each) => ({ ...each, score: 1 })) };
        });
        const wanted = truths.some((truth) => truth.length > 0);
        for (const value of [meanAveragePrecision(images, 2)(), frocScore(images, 2)()]) {
          if (wanted) expect(value).toBeCloseTo(1, 12);
          else expect(value).toBeNull();
        }
      }),
    );
  });
});

describe("FROC", () => {
  it("is what one works out by hand", () => {
    // Two images, two boxes. Right, wrong, right: half is found without a mistake, all at half a mistake an image.
    const images: Located[] = [
      { truth: [box(0)], detections: [said(0.9, 0), said(0.8, 50)] },
      { truth: [box(0)], detections: [said(0.7, 0)] },
    ];
    // Rates 1/8 and 1/4 have half of the boxes, the five others all.
    expect(frocScore(images, 1)()).toBeCloseTo((2 * 0.5 + 5) / 7);
    expect(frocCurve(images, 1)).toEqual([
      { x: 0, y: 0 },
      { x: 0, y: 0.5 },
      { x: 0.5, y: 0.5 },
      { x: 0.5, y: 1 },
      { x: 8, y: 1 },
    ]);
  });
});
