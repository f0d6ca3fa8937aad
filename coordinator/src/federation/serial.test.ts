import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { Serial } from "./serial.ts";

it("begins an action when the one before has ended, well or badly", async () => {
  const serial = new Serial();
  const seen: string[] = [];
  const step = (name: string, fails = false) =>
    serial.run(async () => {
      seen.push(`${name} begins`);
      await setImmediate();
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([step("one"), step("two", true), step("three")]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(seen).toEqual(["one", "two", "three"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});

it("ends what runs when it is closed, and refuses what waits", async () => {
  const serial = new Serial();
  let ended = false;
  const running = serial.run(async () => {
    await setImmediate();
    ended = true;
  });
  const waiting = expect(serial.run(() => Promise.resolve())).rejects.toMatchObject({
    code: "coordinator.unreachable",
  });
  await setImmediate();
  await serial.close();
  expect(ended).toBe(true);
  await Promise.all([running, waiting]);
});
