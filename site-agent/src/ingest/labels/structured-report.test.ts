import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageKey } from "../../dataset/keys.ts";
import { writeDicom, type FixtureElement } from "../testing/dicom-fixture.ts";
import { syntheticImage } from "../testing/synthetic-image.ts";
import { boundingBox } from "./structured-report.ts";
import { code, floats, itemsOf, refer, secret, sequence } from "./testing/label-fixture.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "consilium-dicom-labels-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe("structured reports", () => {
  const scoord = (type: string, ...points: number[]): FixtureElement[] => [
    ["0040a040", "CS", "SCOORD"],
    sequence("0040a730", [refer("00081199", "1.1"), ["0040a040", "CS", "IMAGE"]]),
    ["00700022", "FL", floats(...points)],
    ["00700023", "CS", type],
  ];
  const group = (finding: string | null, ...regions: FixtureElement[][]): FixtureElement[] => [
    ["0040a040", "CS", "CONTAINER"],
    sequence(
      "0040a730",
      ...(finding === null
        ? []
        : [
            [
              ["0040a040", "CS", "CODE"],
              code("0040a043", "121071", "Finding"),
              code("0040a168", "N-1", finding),
            ] satisfies FixtureElement[],
          ]),
      ...regions,
    ),
  ];
  const report = (...groups: FixtureElement[][]): Promise<Uint8Array> =>
    writeDicom(syntheticImage(), {
      pixels: false,
      elements: [
        ["00080016", "UI", "1.2.840.10008.5.1.4.1.1.88.34"],
        ["00080060", "CS", "SR"],
        ["00100010", "PN", "CANARY^Jane"],
        sequence("0040a730", [["0040a040", "CS", "CONTAINER"], sequence("0040a730", ...groups)]),
      ],
    });

  it("give boxes with the finding of their group", async () => {
    const items = await itemsOf(
      dir,
      await report(
        group("Nodule, lung", scoord("CIRCLE", 10, 20, 13, 24), scoord("POINT", 3.5, 4.5)),
        group(null, scoord("POLYLINE", 1, 2, 5, 2, 5, 9)),
        group("CANARY Jane", scoord("POINT", 1, 1)),
        group("Mass", scoord("POLYLINE", 1, 2)),
      ),
    );
    const image = imageKey(secret, "1.1");
    expect(items).toEqual([
      { kind: "box", image, box: { label: "Nodule lung", x: 5, y: 15, width: 10, height: 10 } },
      { kind: "box", image, box: { label: "Nodule lung", x: 3, y: 4, width: 1, height: 1 } },
      { kind: "box", image, box: { label: "region", x: 1, y: 2, width: 4, height: 7 } },
      { kind: "refused" },
      { kind: "unreadable" },
    ]);
  });

  it("have boxes that touch their circles and ellipses, however these are turned", () => {
    const number = fc.double({ min: -100, max: 100, noNaN: true });
    const radius = fc.double({ min: 0.5, max: 50, noNaN: true });
    fc.assert(
      fc.property(
        number,
        number,
        radius,
        radius,
        fc.double({ min: 0, max: Math.PI, noNaN: true }),
        (x, y, a, b, turn) => {
          const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
          const at = (u: number, v: number): [number, number] => [
            x + u * cos - v * sin,
            y + u * sin + v * cos,
          ];
          const box = boundingBox("ELLIPSE", [...at(-a, 0), ...at(a, 0), ...at(0, -b), ...at(0, b)]);
          const edge = Array.from({ length: 720 }, (_, i) =>
            at(a * Math.cos((i * Math.PI) / 360), b * Math.sin((i * Math.PI) / 360)),
          );
          const [xs, ys] = [edge.map(([ex]) => ex), edge.map(([, ey]) => ey)];
          expect(box?.x).toBeCloseTo(Math.min(...xs), 1);
          expect(box?.y).toBeCloseTo(Math.min(...ys), 1);
          expect((box?.x ?? 0) + (box?.width ?? 0)).toBeCloseTo(Math.max(...xs), 1);
          expect((box?.y ?? 0) + (box?.height ?? 0)).toBeCloseTo(Math.max(...ys), 1);
          const circle = boundingBox("CIRCLE", [x, y, ...at(a, 0)]);
          expect(circle?.width).toBeCloseTo(2 * a, 6);
          expect(circle?.x).toBeCloseTo(x - a, 6);
        },
      ),
    );
  });

  it("have no box for what is no shape", () => {
    expect(boundingBox("CIRCLE", [1, 2])).toBeNull();
    expect(boundingBox("ELLIPSE", [1, 2, 3, 4])).toBeNull();
    expect(boundingBox("POLYLINE", [1, 2, 1, 5])).toBeNull();
    expect(boundingBox("POINT", [NaN, 2])).toBeNull();
    expect(boundingBox("SPLINE", [1, 2, 3, 4])).toBeNull();
  });
});
