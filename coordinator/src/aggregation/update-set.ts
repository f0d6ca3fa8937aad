/** The updates of a round, read as streams: one after the other, or all of them abreast, a block at a time. */
import type { Slice, Stretch } from "./checked-values.ts";

export interface UpdateSet {
  /** Elements of each. */
  readonly length: number;
  /** Images behind each, in the same order; all the same where sites count alike. */
  readonly examples: readonly number[];
  /** Update `i` from its beginning, as often as one likes. Its errors name its site. */
  readonly read: (i: number) => AsyncGenerator<Slice, void, undefined>;
  /** A part of it; absent where it can only be read whole. */
  readonly readStretch?: (i: number, stretch: Stretch) => AsyncGenerator<Slice, void, undefined>;
}

/** The same stretch of all updates. */
export interface Rows {
  readonly offset: number;
  readonly rows: readonly Float32Array[];
}

/** Turns a round's updates into the one that moves the model. Memory is the result and a block of each update. */
export type Combine = (updates: UpdateSet) => Promise<Float32Array>;

/** All updates abreast: however each stream is cut, the stretches are alike. */
export async function* abreast({ length, examples, read }: UpdateSet): AsyncGenerator<Rows, void, undefined> {
  const streams = examples.map((_, i) => read(i));
  const rests = streams.map((): Float32Array => new Float32Array(0));
  try {
    for (let offset = 0; offset < length;) {
      for (const [i, stream] of streams.entries()) {
        while (rests[i]?.length === 0) rests[i] = valuesOf(await stream.next());
      }
      const shared = rests.reduce((least, rest) => Math.min(least, rest.length), Infinity);
      yield { offset, rows: rests.map((rest) => rest.subarray(0, shared)) };
      for (const [i, rest] of rests.entries()) rests[i] = rest.subarray(shared);
      offset += shared;
    }
    // A stream has been checked as a whole only once it has ended.
    for (const stream of streams) while ((await stream.next()).done !== true);
  } finally {
    for (const stream of streams) await stream.return();
  }
}

function valuesOf(next: IteratorResult<Slice, void>): Float32Array {
  if (next.done === true) throw new Error("a checked stream has as many values as its layout");
  return next.value.values;
}
