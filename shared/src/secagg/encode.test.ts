import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeTail, meanDecoder } from "./decode.ts";
import { encoder, type PrivateValues } from "./encode.ts";
import { geometryOf, type VectorLayout } from "./layout.ts";
import { levelsOf } from "./levels.ts";
import { vectorLayoutSchema } from "./layout-schema.ts";
import { addToBlock, int16s, int32s } from "./ring.ts";
import { fixedRandom, wholeVector } from "./testing/consortium.ts";

const links = fc.constantFrom("wide" as const, "narrow" as const);
const layoutFor = (sites: number, link: "wide" | "narrow", bound: number, length = 8): VectorLayout =>
  vectorLayoutSchema.parse({
    sites,
    link,
    examplesCap: 50,
    tensors: [{ name: "weight", length, bound }],
    extras: [
      { kind: "real", name: "loss", length: 2, bound, weighted: true },
      { kind: "count", name: "bins", length: 2, most: 9 },
    ],
  });

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const bounds = fc.double({ min: 1e-6, max: 1e6, noNaN: true });

describe("the ring", () => {
  it("never wraps: the sum of any sites' elements stays within their levels", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 2000 }),
        links,
        bounds,
        fc.array(fc.oneof(finite, fc.constantFrom(3e38, -3e38)), { minLength: 8, maxLength: 8 }),
        fc.string(),
        (sites, link, bound, update, seed) => {
          const layout = layoutFor(sites, link, bound);
          const { body, geometry } = encoder(layout, {
            // The bound itself is the element that rounding could push over.
            update: Float32Array.from([...update.slice(0, 6), bound, -bound]),
            examples: 50,
            extras: { loss: [0, 0], bins: [0, 0] },
            roundingKey: fixedRandom(seed)(32),
          });
          const { bytes } = body(0, geometry.bodyBytes);
          const elements = geometry.bodyBits === 32 ? int32s(bytes) : int16s(bytes);
          const most = levelsOf(geometry.bodyBits, sites);
          expect(sites * most).toBeLessThan(2 ** (geometry.bodyBits - 1));
          for (const element of elements) expect(Math.abs(element)).toBeLessThanOrEqual(most);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("holds a sum of nothing but largest elements exactly", () => {
    for (const link of ["wide", "narrow"] as const) {
      const layout = layoutFor(7, link, 3);
      const geometry = geometryOf(layout);
      const values: PrivateValues = {
        update: new Float32Array(8).fill(-3),
        examples: 50,
        extras: { loss: [3, -3], bins: [9, 9] },
        roundingKey: fixedRandom("largest")(32),
      };
      const sum = { offset: 0, bytes: new Uint8Array(geometry.totalBytes) };
      for (let site = 0; site < 7; site++) addToBlock(geometry, sum, wholeVector(layout, values, []), 1);
      const totals = decodeTail(layout, 7, sum.bytes.subarray(geometry.bodyBytes));
      const mean = new Float32Array(8);
      meanDecoder(layout, 7, totals).body(
        { offset: 0, bytes: sum.bytes.subarray(0, geometry.bodyBytes) },
        mean,
      );
      expect([...mean]).toEqual(Array(8).fill(-3));
      expect([...(totals.extras["loss"] ?? [])]).toEqual([3, -3]);
      expect([...(totals.extras["bins"] ?? [])]).toEqual([63, 63]);
    }
  });
});

describe("rounding", () => {
  it("is off by less than one step, and by nothing on average", () => {
    const length = 40_000;
    const layout = layoutFor(10, "narrow", 1, length);
    const value = 0.123456;
    const { body, geometry } = encoder(layout, {
      update: new Float32Array(length).fill(value),
      examples: 20,
      extras: { loss: [0, 0], bins: [0, 0] },
      roundingKey: fixedRandom("rounding")(32),
    });
    const elements = int16s(body(0, geometry.bodyBytes).bytes).subarray(0, length);
    const exact = Math.fround(value) * 0.4 * geometry.bodyLevels;
    const mean = elements.reduce((sum, element) => sum + element, 0) / length;
    for (const element of elements) expect(Math.abs(element - exact)).toBeLessThan(1);
    // Standard deviation of one rounding is at most 1/2; five of the mean's.
    expect(Math.abs(mean - exact)).toBeLessThan((5 * 0.5) / Math.sqrt(length));
  });

  it("is the same for the same key, however the vector is cut", () => {
    fc.assert(
      fc.property(links, fc.integer({ min: 1, max: 20 }), (link, blocks) => {
        const layout = layoutFor(5, link, 1, 333);
        const values: PrivateValues = {
          update: Float32Array.from({ length: 333 }, (_, i) => Math.cos(i * i)),
          examples: 49,
          extras: { loss: [0.3, -7], bins: [1, 12] },
          roundingKey: fixedRandom("cut")(32),
        };
        const { body, geometry } = encoder(layout, values);
        const whole = body(0, geometry.bodyBytes);
        const offset = Math.min(16 * blocks, geometry.bodyBytes);
        const [head, rest] = [body(0, offset), body(offset, geometry.bodyBytes - offset)];
        expect(Buffer.concat([head.bytes, rest.bytes])).toEqual(Buffer.from(whole.bytes));
        expect(head.clipped + rest.clipped).toBe(whole.clipped);
      }),
      { numRuns: 30 },
    );
  });

  it("counts what it clips", () => {
    const layout = layoutFor(3, "wide", 1);
    const { body, tail, geometry } = encoder(layout, {
      update: Float32Array.of(2, -2, 1, -1, 0, 1.0001, 0.5, 0.25),
      examples: 1000,
      extras: { loss: [5, 0], bins: [10, -1] },
      roundingKey: fixedRandom("clip")(32),
    });
    const { clipped } = body(0, geometry.bodyBytes);
    expect(clipped).toBe(3);
    const words = int32s(tail(clipped));
    expect([...words.subarray(0, 2)]).toEqual([50, 6]);
    expect([...words.subarray(4, 6)]).toEqual([9, 0]);
  });
});

describe("a layout", () => {
  it("without headroom, with too few levels or with a name twice is refused", () => {
    const base = { sites: 100, examplesCap: 50, tensors: [{ name: "w", length: 1, bound: 1 }] };
    const accepts = (change: object) => vectorLayoutSchema.safeParse({ ...base, ...change }).success;
    expect(accepts({})).toBe(true);
    expect(accepts({ link: "narrow" })).toBe(true);
    expect(accepts({ link: "narrow", sites: 5000 })).toBe(false);
    expect(accepts({ examplesCap: 2 ** 26 })).toBe(false);
    expect(accepts({ extras: [{ kind: "count", name: "n", length: 1, most: 2 ** 26 }] })).toBe(false);
    expect(accepts({ extras: [{ kind: "count", name: "w", length: 1, most: 1 }] })).toBe(false);
    expect(accepts({ tensors: [{ name: "w", length: 1, bound: 0 }] })).toBe(false);
  });
});
