import { expect, it } from "vitest";
import { LookAhead } from "./look-ahead.ts";

const MEBI = 1024 * 1024;

/** An upload of 24 MiB in chunks of one and a half, and what has been asked to be looked at. */
function lookAhead() {
  const asked: number[] = [];
  const done: (() => void)[] = [];
  const ahead = new LookAhead({ sizeBytes: 24 * MEBI, chunkBytes: 1.5 * MEBI }, (arrivedBytes) => {
    asked.push(arrivedBytes / MEBI);
    return new Promise((resolve) => done.push(resolve));
  });
  const finish = async (): Promise<void> => {
    done.pop()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { ahead, asked, finish };
}

it("looks at what is here in a row, one look at a time, and not at every chunk", async () => {
  const { ahead, asked, finish } = lookAhead();
  const have = new Set<number>();
  const arrive = (...chunks: number[]): void => {
    for (const chunk of chunks) have.add(chunk);
    ahead.arrived(have);
  };
  arrive(1, 2, 3, 4);
  expect(asked).toEqual([]);
  arrive(0);
  expect(asked).toEqual([7.5]);
  arrive(5);
  arrive(6);
  expect(asked).toEqual([7.5]);
  await finish();
  expect(asked).toEqual([7.5, 10.5]);
});

it("looks at nothing any more once it has ended, which waits for a look under way", async () => {
  const { ahead, asked, finish } = lookAhead();
  const have = new Set([0, 1, 2]);
  ahead.arrived(have);
  const ended = ahead.end();
  have.add(3).add(4).add(5);
  ahead.arrived(have);
  await finish();
  await ended;
  expect(asked).toEqual([4.5]);
});
