import { expect, it } from "vitest";
import { giveBack } from "./give-back.ts";
import { maskBlock } from "./secagg/masks.ts";

it("gives keystream of any length back", () => {
  for (const length of [16, 24, 65_536]) {
    const keystream = maskBlock(new Uint8Array(32).fill(1), 0, length);
    giveBack(keystream);
    expect(keystream).toHaveLength(0);
  }
});

it("leaves alone what belongs to something larger, or to several threads", () => {
  const part = new Uint8Array(8).subarray(2);
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  for (const bytes of [part, shared]) giveBack(bytes);
  expect([part.length, shared.length]).toEqual([6, 8]);
});
