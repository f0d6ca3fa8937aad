import { expect, it } from "vitest";
import { Room } from "./room.ts";

const MEBI = 1024 * 1024;

it("gives no more room than there is to uploads that begin together, after one look", async () => {
  let looks = 0;
  const freeBytes = () => {
    looks += 1;
    return Promise.resolve(20 * MEBI);
  };
  const room = new Room({ freeBytes });
  const taken = await Promise.allSettled([5, 5, 5, 1].map((size) => room.take(size * MEBI)));
  // Eight of them are kept for what the coordinator itself has to write.
  expect(taken.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
  expect(looks).toBe(1);
});

it("looks again after a look that failed", async () => {
  const looks = [() => Promise.reject(new Error("busy")), () => Promise.resolve(20 * MEBI)];
  const room = new Room({ freeBytes: () => looks.shift()?.() ?? Promise.resolve(0) });
  await expect(room.take(MEBI)).rejects.toThrow("busy");
  await room.take(MEBI);
});

it("asks nothing of a store that has no end", async () => {
  await new Room({}).take(1e15);
});
