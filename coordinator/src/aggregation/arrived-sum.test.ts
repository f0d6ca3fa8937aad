import { createHash, randomBytes } from "node:crypto";
import type { Sha256 } from "@consilium/shared/ids";
import { MASKED_HEADER_BYTES, maskedFrameBytes, maskedHeader } from "@consilium/shared/secagg/frame";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import { consortium } from "@consilium/shared/secagg/testing/consortium";
import { describe, expect, it } from "vitest";
import { ArrivedSum, type PartialSum } from "./arrived-sum.ts";
import { addFrame, type MaskedTerms } from "./masked-frame.ts";

const layout = vectorLayoutSchema.parse({
  sites: 3,
  examplesCap: 10,
  tensors: [{ name: "weight", length: 1000, bound: 1 }],
});
const termsOf = (attempt: number): MaskedTerms => ({
  attempt: consortium(layout, { attempt }).attempt,
  layout,
});
const terms = termsOf(1);

interface Frame {
  readonly name: Sha256;
  readonly bytes: Uint8Array;
}

function frameOf({ attempt }: MaskedTerms = terms): Frame {
  const bytes = randomBytes(maskedFrameBytes(layout));
  bytes.set(maskedHeader(attempt, layout));
  return { name: createHash("sha256").update(bytes).digest("hex") as Sha256, bytes };
}

const [a, b, c] = [frameOf(), frameOf(), frameOf()];
/** Cut anywhere. */
const arriving = ({ bytes }: Frame): Uint8Array[] => [bytes.subarray(0, 1001), bytes.subarray(1001)];
const namesOf = (frames: readonly Frame[]): Sha256[] => frames.map(({ name }) => name);

async function sumOf(frames: readonly Frame[]): Promise<Buffer> {
  const sum = new Uint8Array(maskedFrameBytes(layout) - MASKED_HEADER_BYTES);
  for (const { bytes } of frames) await addFrame(terms, sum, [bytes]);
  return Buffer.from(sum);
}

async function expectSum({ names, vector }: PartialSum, frames: readonly Frame[]): Promise<void> {
  expect([...names].sort()).toEqual(namesOf(frames).sort());
  expect(Buffer.from(vector).equals(await sumOf(frames))).toBe(true);
}

describe("the sum of what has arrived", () => {
  it("is what its frames give, however many of those that are asked for are in it", async () => {
    const arrived = new ArrivedSum();
    await Promise.all([a, b].map((frame) => arrived.add(terms, frame.name, arriving(frame))));
    await expectSum(arrived.take(terms, namesOf([c, b, a])), [a, b]);
    // It is given away once.
    await expectSum(arrived.take(terms, namesOf([a, b])), []);
  });

  it("has no frame twice that was looked at twice", async () => {
    const arrived = new ArrivedSum();
    for (const frame of [a, b, a]) await arrived.add(terms, frame.name, arriving(frame));
    await expectSum(arrived.take(terms, namesOf([a, b])), [a, b]);
  });

  it("is begun anew where a frame is in it that nobody asks for, or one is asked for twice", async () => {
    for (const asked of [[a, c], [a, b, b], []]) {
      const arrived = new ArrivedSum();
      for (const frame of [a, b]) await arrived.add(terms, frame.name, arriving(frame));
      await expectSum(arrived.take(terms, namesOf(asked)), []);
    }
  });

  it("is begun anew after a frame that is not what its site stands for, of which a part was added", async () => {
    const arrived = new ArrivedSum();
    await arrived.add(terms, a.name, arriving(a));
    const changed = Uint8Array.from(b.bytes, (byte, i) => (i === 3000 ? byte ^ 1 : byte));
    await expect(arrived.add(terms, b.name, [changed])).rejects.toMatchObject({ code: "hash.mismatch" });
    await arrived.add(terms, c.name, arriving(c));
    await expectSum(arrived.take(terms, namesOf([a, b, c])), [c]);
  });

  it("does not count while a frame is still being added", async () => {
    const arrived = new ArrivedSum();
    await arrived.add(terms, a.name, arriving(a));
    const adding = arrived.add(terms, b.name, arriving(b));
    await expectSum(arrived.take(terms, namesOf([a, b])), []);
    await adding;
  });

  it("is of the newest attempt, and refuses another one's frame", async () => {
    const arrived = new ArrivedSum();
    const second = termsOf(2);
    await arrived.add(terms, a.name, arriving(a));
    await expect(arrived.add(second, a.name, arriving(a))).rejects.toMatchObject({
      code: "secagg.other-attempt",
    });
    await expectSum(arrived.take(terms, namesOf([a])), []);
  });
});
