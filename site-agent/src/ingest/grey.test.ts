import { greySchema } from "@consilium/shared/grey-schema";
import { GREY_IMAGES, inputProfile, rangesFor } from "@consilium/shared/input-profile";
import { describe, expect, it } from "vitest";
import type { StoredImage, StoredValues } from "./decode/stored-image.ts";
import { toGrey } from "./grey.ts";
import type { GreyHints } from "./header/grey-hints.ts";

function image(values: StoredValues, photometric: StoredImage["photometric"] = "MONOCHROME2"): StoredImage {
  const samples = photometric.startsWith("MONOCHROME") ? 1 : 3;
  return { rows: 1, columns: values.length / samples, samples, photometric, values };
}

const hints = (changes: Partial<GreyHints> = {}): GreyHints => ({
  modality: "DX",
  padding: null,
  rescale: { slope: 1, intercept: 0 },
  modalityLut: null,
  window: null,
  ...changes,
});

const ramp = Uint16Array.from({ length: 1001 }, (_, i) => i * 4);
const grey = (
  values: StoredValues,
  changes: Partial<GreyHints> = {},
  photometric?: StoredImage["photometric"],
): number[] => {
  const all = hints(changes);
  const [channel] = toGrey(image(values, photometric), all, rangesFor(GREY_IMAGES, all.modality));
  return Array.from(channel?.values ?? []);
};

describe("to grey", () => {
  it("spans the 0.5 to 99.5 percentile and clamps the rest", () => {
    const out = grey(ramp);
    expect(out[0]).toBe(0);
    expect(out[5]).toBe(0);
    expect(out[6]).toBeGreaterThan(0);
    expect(out[500]).toBeCloseTo(127.5, 3);
    expect(out[995]).toBe(255);
    expect(out[1000]).toBe(255);
  });

  it("turns MONOCHROME1 around: the same picture either way", () => {
    const inverted = ramp.map((value) => 4000 - value);
    const [a, b] = [grey(ramp), grey(inverted, {}, "MONOCHROME1")];
    for (const [i, value] of a.entries()) expect(b[i]).toBeCloseTo(value, 3);
  });

  it("follows a negative slope, and a negative slope of MONOCHROME1 twice", () => {
    const down = { rescale: { slope: -1, intercept: 4000 } };
    expect(grey(ramp, down)[0]).toBe(255);
    expect(grey(ramp, down, "MONOCHROME1")[0]).toBe(0);
  });

  it("does not depend on the vendor's scale", () => {
    const a = grey(ramp);
    const b = grey(
      Int16Array.from(ramp, (value) => value / 2 - 1000),
      { rescale: { slope: 3, intercept: 77 }, window: { center: 5, width: 10 } },
    );
    for (const [i, value] of a.entries()) expect(b[i]).toBeCloseTo(value, 3);
  });

  it("leaves padding black and out of the percentiles, for both photometric interpretations", () => {
    const padded = Int16Array.from([-2000, -2000, -2000, -2000, ...ramp]);
    for (const photometric of ["MONOCHROME1", "MONOCHROME2"] as const) {
      const out = grey(padded, { padding: { low: -2000, high: -2000 } }, photometric);
      expect(out.slice(0, 4)).toEqual([0, 0, 0, 0]);
      expect(out.slice(4)).toEqual(grey(ramp, {}, photometric));
    }
  });

  it("uses the modality's table, first and last entry outside of it", () => {
    const table = { first: 10, values: Uint16Array.from([0, 1000, 500]) };
    const out = grey(Uint8Array.from([0, 10, 11, 12, 200]), { modalityLut: table });
    expect(out[0]).toBe(0);
    expect(out[1]).toBe(0);
    expect(out[2]).toBe(255);
    expect(out[3]).toBe(out[4]);
    expect(out[3]).toBeGreaterThan(100);
  });

  it("shows CT in the lung window, whatever the image holds", () => {
    const out = grey(Int16Array.from([-2000, -1350, -600, 149, 3000]), { modality: "CT" });
    expect(out[0]).toBe(0);
    expect(out[1]).toBe(0);
    expect(out[2]).toBeCloseTo(127.5, 0);
    expect(out[3]).toBe(255);
    expect(out[4]).toBe(255);
  });

  it("takes the header's window for other modalities", () => {
    const out = grey(ramp, { modality: "NM", window: { center: 100.5, width: 201 } });
    expect(out[0]).toBe(0);
    expect(out[25]).toBeCloseTo(127.5, 3);
    expect(out[50]).toBe(255);
  });

  it("makes luminance of colours: of YBR the first sample as it is", () => {
    const ybr = grey(Uint8Array.from([0, 9, 9, 100, 50, 50, 200, 1, 255]), {}, "YBR_FULL");
    expect(ybr[1]).toBeCloseTo(127.5, 3);
    const rgb = grey(Uint8Array.from([0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 255, 0, 255, 255, 255]), {}, "RGB");
    expect(rgb).toEqual([...rgb].sort((a, b) => a - b));
  });

  it("finds a few bright pixels on black", () => {
    const dots = new Uint8Array(1000);
    dots[500] = 9;
    const out = grey(dots);
    expect(out[0]).toBe(0);
    expect(out[500]).toBe(255);
  });

  it("handles 32-bit values", () => {
    const out = grey(Int32Array.from({ length: 1001 }, (_, i) => (i - 500) * 4_000_000));
    expect(out[500]).toBeCloseTo(127.5, 1);
  });

  it("refuses what has no contrast", () => {
    const flat = expect.objectContaining({ code: "dicom.flat" }) as Error;
    expect(() => grey(new Uint16Array(50).fill(7))).toThrow(flat);
    expect(() => grey(new Uint16Array(50).fill(7), { padding: { low: 7, high: 7 } })).toThrow(flat);
    expect(() => grey(Uint16Array.from([3000, 4000, 5000]), { modality: "CT" })).toThrow(flat);
  });
});

describe("channels", () => {
  const CT = { modality: "CT", rescale: { slope: 1, intercept: -1024 } };
  const threeChannels = inputProfile({ grey: greySchema.parse({}), model: { channels: 3 }, volume: null });
  const channels = (values: StoredValues, changes: Partial<GreyHints>) => {
    const all = hints(changes);
    return toGrey(image(values), all, rangesFor(threeChannels, all.modality));
  };
  const stored = (...hu: readonly number[]) => Int16Array.from(hu, (value) => value + 1024);

  it("of CT are the lung, the soft tissue and the bone window", () => {
    const [lung, soft, bone] = channels(stored(-1400, -600, 40, 480, 1800), CT).map(({ values }) =>
      Array.from(values, (value) => Math.round(value / 10)),
    );
    expect(lung).toEqual([0, 13, 24, 26, 26]);
    expect(soft).toEqual([0, 0, 13, 26, 26]);
    expect(bone).toEqual([0, 2, 8, 13, 26]);
  });

  it("repeat where the modality has one range", () => {
    const [first, second, third] = channels(ramp, { modality: "MR" });
    expect(second?.values).toBe(first?.values);
    expect(third?.values).toBe(first?.values);
  });

  it("need contrast in one of them only", () => {
    const bright = stored(600, 900, 1200);
    expect(channels(bright, CT).map(({ values }) => new Set(values).size)).toEqual([1, 1, 3]);
    expect(() => channels(stored(1800, 1900), CT)).toThrow(
      expect.objectContaining({ code: "dicom.flat" }) as Error,
    );
  });
});
