/** How replicas, each in a thread of its own, put their gradients together: in memory that all of them see. */
import { Barrier, Withdrawn, barrierMemory } from "./barrier.ts";

/** What a training step that computes a part of a batch needs of those that compute the others. */
export interface GradientExchange {
  /** Replicas, this one included. */
  readonly members: number;
  /** Where this replica leaves its gradient. */
  readonly own: Float32Array;
  /** The sum of all gradients, after `addUp`. The same bits for everyone. */
  readonly total: Float32Array;
  /**
   * Does the work, and waits for the others to do theirs.
   * @throws what `work` throws, `Withdrawn` if another's failed or another ended
   */
  together<Result>(work: () => Promise<Result>): Promise<Result>;
  /** @throws Withdrawn */
  addUp(): void;
}

/** Memory of the exchange between `members` replicas; can be posted to their threads. */
export interface ExchangeMemory {
  readonly members: number;
  /** Elements of a gradient. */
  readonly length: number;
  readonly gradients: readonly SharedArrayBuffer[];
  readonly total: SharedArrayBuffer;
  /** Per replica: whether its last piece of work failed. */
  readonly failures: SharedArrayBuffer;
  readonly barrier: SharedArrayBuffer;
}

export function exchangeMemory(members: number, length: number): ExchangeMemory {
  const vector = (): SharedArrayBuffer => new SharedArrayBuffer(length * Float32Array.BYTES_PER_ELEMENT);
  return {
    members,
    length,
    gradients: Array.from({ length: members }, vector),
    total: vector(),
    failures: new SharedArrayBuffer(members * Int32Array.BYTES_PER_ELEMENT),
    barrier: barrierMemory(),
  };
}

export class SharedExchange implements GradientExchange {
  readonly members: number;
  readonly own: Float32Array;
  readonly total: Float32Array;
  readonly #index: number;
  readonly #gradients: readonly Float32Array[];
  readonly #failures: Int32Array;
  readonly #barrier: Barrier;

  /** @param index of this replica, from 0 */
  constructor({ members, gradients, total, failures, barrier }: ExchangeMemory, index: number) {
    this.members = members;
    this.#index = index;
    this.#gradients = gradients.map((memory) => new Float32Array(memory));
    this.own = at(this.#gradients, index);
    this.total = new Float32Array(total);
    this.#failures = new Int32Array(failures);
    this.#barrier = new Barrier(barrier, members);
  }

  async together<Result>(work: () => Promise<Result>): Promise<Result> {
    let failure: { readonly error: unknown } | null = null;
    let result: Result | null = null;
    try {
      result = await work();
    } catch (error) {
      failure = { error };
    }
    Atomics.store(this.#failures, this.#index, failure === null ? 0 : 1);
    this.#barrier.wait();
    if (failure !== null) throw failure.error;
    if (this.#failures.some((failed) => failed !== 0)) throw new Withdrawn();
    return result as Result;
  }

  /** Each replica adds up its share of the elements, always in the order of the replicas. */
  addUp(): void {
    const share = (index: number): number => Math.floor((index * this.total.length) / this.members);
    addUpRange(this.#gradients, this.total, share(this.#index), share(this.#index + 1));
    this.#barrier.wait();
  }
}

/** Elements that stay in the nearest cache while one gradient after the other is added to them. */
const BLOCK = 4096;

function addUpRange(parts: readonly Float32Array[], total: Float32Array, from: number, to: number): void {
  const [first, ...others] = parts;
  if (first === undefined) return;
  for (let start = from; start < to; start += BLOCK) {
    const end = Math.min(start + BLOCK, to);
    total.set(first.subarray(start, end), start);
    for (const part of others) {
      for (let i = start; i < end; i++) total[i] = (total[i] ?? NaN) + (part[i] ?? NaN);
    }
  }
}

function at<Item>(items: readonly Item[], index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`there is no replica ${index}`);
  return item;
}
