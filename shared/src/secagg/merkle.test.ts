import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha256 } from "../canonical.ts";
import { merkleTree, rootByPath } from "./merkle.ts";
import { required } from "./required.ts";

const leaves = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 110 });
const leavesAndPlace = leaves.chain((all) => fc.tuple(fc.constant(all), fc.nat(all.length - 1)));
const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");

describe("a Merkle tree", () => {
  it("has the roots of RFC 9162 for one, two and three leaves", () => {
    const leaf = (text: string) => bytes(sha256(Uint8Array.of(0), text));
    const [a, b, c] = [leaf("a"), leaf("b"), leaf("c")];
    const node = (left: Buffer, right: Buffer) => bytes(sha256(Uint8Array.of(1), left, right));
    const rootOf = (...texts: string[]) => merkleTree(texts.map((one) => Buffer.from(one))).root;
    expect(rootOf("a")).toEqual(a);
    expect(rootOf("a", "b")).toEqual(node(a, b));
    expect(rootOf("a", "b", "c")).toEqual(node(node(a, b), c));
  });

  it("shows each leaf at its place", () => {
    fc.assert(
      fc.property(leavesAndPlace, ([all, at]) => {
        const { root, pathTo } = merkleTree(all);
        expect(rootByPath(required(all[at]), { at, of: all.length }, pathTo(at))).toEqual(root);
      }),
    );
  });

  it("shows no leaf at another place, no other leaf, and nothing by a path that was cut, extended or changed", () => {
    fc.assert(
      fc.property(leavesAndPlace, fc.nat(1000), ([all, at], other) => {
        const { root, pathTo } = merkleTree(all);
        const leaf = required(all[at]);
        const path = pathTo(at);
        const of = all.length;
        const isShown = (...tried: Parameters<typeof rootByPath>) => {
          const found = rootByPath(...tried);
          return found !== null && Buffer.from(found).equals(root);
        };
        expect(isShown(Buffer.concat([leaf, Uint8Array.of(1)]), { at, of }, path)).toBe(false);
        expect(isShown(leaf, { at, of }, Buffer.concat([path, root]))).toBe(false);
        if (path.length === 0) return;
        expect(isShown(leaf, { at, of }, path.slice(32))).toBe(false);
        expect(isShown(leaf, { at, of }, path.slice(0, -1))).toBe(false);
        const changed = Uint8Array.from(path);
        changed[other % path.length] = (changed[other % path.length] ?? 0) ^ 1;
        expect(isShown(leaf, { at, of }, changed)).toBe(false);
        const twin = required(all[(at + 1) % of]);
        if (Buffer.from(twin).equals(leaf)) return;
        expect(isShown(leaf, { at: (at + 1) % of, of }, path)).toBe(false);
      }),
    );
  });
});
