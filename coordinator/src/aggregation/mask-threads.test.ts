import { randomBytes } from "node:crypto";
import { geometryOf, vectorLayoutSchema } from "@consilium/shared/secagg/layout";
import { addMasks, type MaskTerm } from "@consilium/shared/secagg/masks";
import { expect, it } from "vitest";
import { MaskThreads } from "./mask-threads.ts";
import { addUpMasks, applyMasks, maskWork } from "./mask-work.ts";

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

it.each(["wide", "narrow"] as const)("adds what one thread would add, on a %s link", async (link) => {
  // Neither a whole number of blocks nor of the cipher's.
  const layout = layoutOf(link, 100_003);
  const terms = termsOf(4);
  const { totalBytes } = geometryOf(layout);
  const sum = new Uint8Array(randomBytes(totalBytes));
  const expected = Uint8Array.from(sum);
  addMasks(geometryOf(layout), { offset: 0, bytes: expected }, terms);
  const threads = new MaskThreads(layout, terms, 1);
  await threads.addTo(sum);
  await threads.close();
  expect(Buffer.from(sum).equals(Buffer.from(expected))).toBe(true);
});

it("leaves nothing out and adds nothing twice when several take blocks", () => {
  const layout = layoutOf("wide", 50_000);
  const terms = termsOf(3);
  const work = maskWork(layout, terms);
  addUpMasks(work);
  // Whoever comes late finds nothing left.
  addUpMasks(work);
  const sum = new Uint8Array(geometryOf(layout).totalBytes);
  applyMasks(work, sum);
  const expected = new Uint8Array(sum.length);
  addMasks(geometryOf(layout), { offset: 0, bytes: expected }, terms);
  expect(Buffer.from(sum).equals(Buffer.from(expected))).toBe(true);
});

it("goes on with real threads where the masks are many", async () => {
  const layout = layoutOf("wide", 4_000_000);
  const terms = termsOf(70);
  const sum = new Uint8Array(geometryOf(layout).totalBytes);
  const threads = new MaskThreads(layout, terms, 3);
  await threads.addTo(sum);
  await threads.close();
  // A block somewhere in it.
  const offset = 9_000_000 - (9_000_000 % 16);
  const bytes = new Uint8Array(4096);
  addMasks(geometryOf(layout), { offset, bytes }, terms);
  expect(Buffer.from(sum.subarray(offset, offset + bytes.length)).equals(Buffer.from(bytes))).toBe(true);
});
