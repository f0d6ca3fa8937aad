import { randomBytes } from "node:crypto";
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import { addMasks, type MaskTerm } from "@consilium/shared/secagg/masks";
import { expect, it } from "vitest";
import { addMasksInThreads } from "./mask-threads.ts";
import { addUpMasks, maskWork } from "./mask-work.ts";

const layoutOf = (link: "wide" | "narrow", length: number) =>
  vectorLayoutSchema.parse({
    sites: 3,
    link,
    examplesCap: 10,
    tensors: [{ name: "weight", length, bound: 1 }],
  });
const termsOf = (count: number): MaskTerm[] =>
  Array.from({ length: count }, (_, i) => ({
    key: new Uint8Array(randomBytes(32)),
    sign: i % 3 === 0 ? 1 : -1,
  }));

/** Of random bytes, and what becomes of it when one thread adds the masks. */
function sumOf(layout: VectorLayout, terms: readonly MaskTerm[]) {
  const geometry = geometryOf(layout);
  const sum = new SharedArrayBuffer(geometry.totalBytes);
  const bytes = new Uint8Array(sum);
  bytes.set(randomBytes(sum.byteLength));
  const expected = Uint8Array.from(bytes);
  addMasks(geometry, { offset: 0, bytes: expected }, terms);
  return { sum, isExpected: () => Buffer.from(bytes).equals(expected) };
}

it.each(["wide", "narrow"] as const)("adds what one thread would add, on a %s link", async (link) => {
  // Neither a whole number of blocks nor of the cipher's.
  const layout = layoutOf(link, 100_003);
  const terms = termsOf(4);
  const { sum, isExpected } = sumOf(layout, terms);
  await addMasksInThreads(layout, terms, sum, 1);
  expect(isExpected()).toBe(true);
});

it("leaves nothing out and adds nothing twice when several take blocks", () => {
  const layout = layoutOf("wide", 50_000);
  const terms = termsOf(3);
  const { sum, isExpected } = sumOf(layout, terms);
  const work = maskWork(layout, terms, sum);
  addUpMasks(work);
  // Whoever comes late finds nothing left.
  addUpMasks(work);
  expect(isExpected()).toBe(true);
});

it("goes on with real threads where the masks are many", async () => {
  const layout = layoutOf("wide", 4_000_000);
  const terms = termsOf(140);
  const sum = new SharedArrayBuffer(geometryOf(layout).totalBytes);
  await addMasksInThreads(layout, terms, sum, 3);
  // A block somewhere in it.
  const offset = 9_000_000 - (9_000_000 % 16);
  const bytes = new Uint8Array(4096);
  addMasks(geometryOf(layout), { offset, bytes }, terms);
  expect(Buffer.from(new Uint8Array(sum, offset, bytes.length)).equals(bytes)).toBe(true);
});
