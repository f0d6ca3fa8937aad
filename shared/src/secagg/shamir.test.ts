import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { combineShares, splitSecret, type Point } from "./shamir.ts";
import { fixedRandom } from "./testing/consortium.ts";

const pointsOf = (shares: readonly Uint8Array[]): Point[] => shares.map((share, i) => ({ x: i + 1, share }));

describe("secret sharing", () => {
  it("gives the secret back from any threshold of shares, and from more", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc
          .integer({ min: 1, max: 40 })
          .chain((holders) => fc.tuple(fc.constant(holders), fc.integer({ min: 1, max: holders }))),
        fc.string(),
        (secret, [holders, threshold], seed) => {
          const random = fixedRandom(seed);
          const points = pointsOf(splitSecret(secret, { holders, threshold }, random));
          const order = new Map(points.map((point) => [point, random(4).join()]));
          const shuffled = points.toSorted((a, b) => ((order.get(a) ?? "") < (order.get(b) ?? "") ? -1 : 1));
          expect(combineShares(shuffled.slice(0, threshold))).toEqual(secret);
          expect(combineShares(shuffled)).toEqual(secret);
        },
      ),
    );
  });

  it("tells nothing below the threshold: every share is as likely under every secret", () => {
    for (const secret of [0, 1, 255]) {
      const seen = new Set<number>();
      for (let coefficient = 0; coefficient < 256; coefficient++) {
        const [share] = splitSecret(Uint8Array.of(secret), { holders: 2, threshold: 2 }, () =>
          Uint8Array.of(coefficient),
        );
        seen.add(share?.[0] ?? -1);
      }
      expect(seen.size).toBe(256);
    }
  });

  it("multiplies in AES' field", () => {
    // FIPS 197, section 4.2: {57} x {83} = {c1}. The share of holder 0x83 on the line 0 + 0x57 x.
    const shares = splitSecret(Uint8Array.of(0), { holders: 0x83, threshold: 2 }, () => Uint8Array.of(0x57));
    expect(shares.at(-1)).toEqual(Uint8Array.of(0xc1));
  });

  it("reads shares of another implementation", () => {
    // shamir-secret-sharing 0.0.4, 3 of 5 shares of the bytes 0 to 31; its last byte is x.
    const theirs = [
      "af10319dd5006dfb25e730b82745ea72caebafa0db5a8fa6453e2d051c6aebc1d9",
      "7560a05ec2c2ecb8209af75ba31a9536cb8dd40e6844bbb1a777e23a84ce22452f",
      "24cd6b0bd933b16786855b9f0148abe15e40d351d46284cc0a025297e7ff66a21f",
    ].map((hex) => new Uint8Array(Buffer.from(hex, "hex")));
    const points = theirs.map((bytes) => ({ x: bytes.at(-1) ?? 0, share: bytes.slice(0, -1) }));
    expect([...combineShares(points)]).toEqual(Array.from({ length: 32 }, (_, i) => i));
  });

  it("refuses what makes no sense", () => {
    const random = fixedRandom("x");
    const split = (holders: number, threshold: number) => () =>
      splitSecret(Uint8Array.of(1), { holders, threshold }, random);
    for (const impossible of [split(3, 4), split(3, 0), split(256, 2)])
      expect(impossible).toThrow(RangeError);
    const point = { x: 1, share: Uint8Array.of(1) };
    expect(() => combineShares([point, point])).toThrow(RangeError);
  });
});
