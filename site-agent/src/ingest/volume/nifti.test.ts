import { ConsiliumError } from "@consilium/shared/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SAGITTAL, writeNifti, type CtSeries } from "../testing/ct-series.ts";
import { openNifti } from "./nifti.ts";

const series: CtSeries = {
  uid: "",
  directions: SAGITTAL,
  slices: 4,
  rows: 3,
  columns: 2,
  spacingMm: [5, 4, 3],
};

function edited(edit: (view: DataView) => void): Uint8Array {
  const bytes = writeNifti(series);
  edit(new DataView(bytes.buffer));
  return bytes;
}

const codeOf = (bytes: Uint8Array): string => {
  try {
    openNifti(bytes);
    return "opened";
  } catch (error) {
    return error instanceof ConsiliumError ? error.code : "not ours";
  }
};

describe("NIfTI", () => {
  it("says how it lies, in DICOM's coordinates, whatever else shares its buffer", () => {
    const bytes = writeNifti(series);
    const shared = Buffer.concat([Buffer.alloc(40, 1), bytes]).subarray(40);
    const { source } = openNifti(shared);
    expect(source.counts).toEqual([4, 3, 2]);
    expect(source.spacingMm.map((mm) => Math.round(mm * 1e4) / 1e4)).toEqual([5, 4, 3]);
    const rounded = source.directions.map((direction) => direction.map((v) => Math.round(v) + 0));
    expect(rounded).toEqual([SAGITTAL[2], SAGITTAL[1], SAGITTAL[0]]);
  });

  it("is placed by its qform where it has no sform, even one that rounding made longer than 1", () => {
    const { source } = openNifti(
      edited((view) => {
        view.setInt16(254, 0, true);
        view.setInt16(252, 1, true);
        view.setFloat32(76, 1, true);
        view.setFloat32(256, 1.000001, true); // half a turn about the axis that leads to the right
      }),
    );
    // Columns to the right, rows to the back, slices to the feet.
    const rounded = source.directions.map((direction) => direction.map((v) => Math.round(v) + 0));
    expect(rounded).toEqual([
      [0, 0, -1],
      [0, 1, 0],
      [-1, 0, 0],
    ]);
  });

  it("is scaled by slope and intercept, a slope of 0 meaning none, and knows metres", () => {
    const plain = openNifti(writeNifti(series)).plane(1);
    const scaled = openNifti(
      edited((view) => {
        view.setFloat32(112, 2, true);
        view.setFloat32(116, 7, true);
      }),
    ).plane(1);
    expect(Array.from(scaled)).toEqual(Array.from(plain, (value) => 2 * value + 7));
    const metres = openNifti(
      edited((view) => {
        view.setUint8(123, 1);
      }),
    );
    expect(metres.source.spacingMm[0]).toBeCloseTo(5000, 3);
  });

  it("is refused for its reason", () => {
    const noForms = edited((view) => {
      view.setInt16(254, 0, true);
    });
    const sheared = edited((view) => {
      view.setFloat32(284, 2, true);
    });
    expect([noForms, sheared].map(codeOf)).toEqual(["volume.no-position", "volume.tilted"]);
    const colour = edited((view) => {
      view.setInt16(70, 128, true);
    });
    expect(codeOf(colour)).toBe("nifti.unsupported");
    expect(codeOf(new Uint8Array(500))).toBe("nifti.unreadable");
  });

  it("with a damaged header ends with a code, or with as many numbers as it says", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(351), fc.nat(255)), { minLength: 1, maxLength: 6 }), (flips) => {
        const bytes = edited((view) => {
          for (const [at, value] of flips) view.setUint8(at, value);
        });
        try {
          const { source, plane } = openNifti(bytes);
          const [slices, rows, columns] = source.counts;
          const last = plane(slices - 1);
          expect(last).toHaveLength(rows * columns);
          expect(last.every(Number.isFinite)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ConsiliumError);
        }
      }),
      { numRuns: 500, examples: [[[[115, 123]]]] },
    );
  });
});
