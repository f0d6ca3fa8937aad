import { expect, it } from "vitest";
import { vendorClass } from "./terms.ts";

it.each([
  ["GE MEDICAL SYSTEMS", "ge"],
  ["GE Healthcare", "ge"],
  ["GEORGE CANARY", "other"],
  ["Philips Medical Systems", "philips"],
  ["FUJIFILM Corporation", "fujifilm"],
  ["FUJI PHOTO FILM Co., ltd.", "fujifilm"],
  ["KODAK", "carestream"],
  ["TOSHIBA_MEC", "canon"],
  ["Canon Inc.", "canon"],
  ["KONICA MINOLTA", "konica"],
  ["Agfa-Gevaert", "agfa"],
  ["LORAD, A Hologic Company", "hologic"],
  ["Ward 3, Dr CANARY", "other"],
  ["  ", null],
  ["", null],
  [undefined, null],
])("%s is of class %s", (text, vendor) => {
  expect(vendorClass(text)).toBe(vendor);
});
