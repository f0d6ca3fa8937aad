import { expect, it } from "vitest";
import { SharedFlush } from "./shared-flush.ts";

/** Flushes that end when they are told to. */
function manual() {
  const begun: { readonly end: (error?: Error) => void }[] = [];
  const flush = new SharedFlush(
    () =>
      new Promise((resolve, reject) => {
        const end = (error?: Error): void => {
          if (error === undefined) resolve();
          else reject(error);
        };
        begun.push({ end });
      }),
  );
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return { begun, flush, turn };
}

it("lets nobody share a flush that began before they had written", async () => {
  const { begun, flush, turn } = manual();
  const told: string[] = [];
  const wait = (name: string) => flush.after().then(() => told.push(name));
  const all = [wait("first")];
  await turn();
  all.push(wait("second"), wait("third"));
  begun[0]?.end();
  await turn();
  expect(told).toEqual(["first"]);
  expect(begun).toHaveLength(2);
  begun[1]?.end();
  await Promise.all(all);
  expect(told).toEqual(["first", "second", "third"]);
});

it("tells those who waited of a failure, and nobody who comes later", async () => {
  const { begun, flush, turn } = manual();
  const first = flush.after();
  await turn();
  const second = flush.after();
  begun[0]?.end(new Error("the disk"));
  await expect(first).rejects.toThrow("the disk");
  await turn();
  begun[1]?.end();
  await second;
});
