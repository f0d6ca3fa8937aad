import { expect, it } from "vitest";
import { lend, takeBack } from "./lent-memory.ts";

it("lends what was brought back, to one at a time", () => {
  const first = lend(1000);
  takeBack(first);
  const [again, another] = [lend(2000), lend(10)];
  expect(again).toBe(first);
  expect(another).not.toBe(first);
  expect(lend(2_000_000)).toHaveLength(2_000_000);
});

it("keeps a few, and gives back the others and those that are too long", () => {
  const lent = [1, 1, 1, 1, 1, 2_000_000].map(lend);
  for (const buffer of lent) takeBack(buffer);
  expect(lent.map(({ length }) => length > 0)).toEqual([true, true, true, true, false, false]);
});
