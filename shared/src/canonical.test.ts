import fc from "fast-check";
import { expect, it } from "vitest";
import { canonicalJson, type Json } from "./canonical.ts";

const shuffled = (value: Json): Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([k, v]) => [k, shuffled(v as Json)]),
      )
    : value;

it("prints the same bytes whatever the order of the members, and parses back", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.parse(JSON.stringify(value)) as Json;
      expect(canonicalJson(shuffled(json))).toBe(canonicalJson(json));
      expect(JSON.parse(canonicalJson(json))).toEqual(json);
    }),
  );
});

it("refuses numbers that JSON cannot carry", () => {
  expect(() => canonicalJson({ a: NaN })).toThrow(TypeError);
});
