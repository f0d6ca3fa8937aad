/** A line at which threads wait for each other. Whoever watches the threads gives it up when one of them ends. */

const ARRIVED = 0;
/** Twice the number of times that everyone has arrived, plus 1 once given up: one word, so that it is one or the other. */
const STATE = 1;
const WORDS = 2;

/** This thread could go on, but another cannot. */
export class Withdrawn extends Error {
  constructor() {
    super("another replica failed");
    this.name = "Withdrawn";
  }
}

export const barrierMemory = (): SharedArrayBuffer =>
  new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);

export class Barrier {
  readonly #words: Int32Array;
  readonly #members: number;

  /** @param memory of `barrierMemory`, the same for all members */
  constructor(memory: SharedArrayBuffer, members: number) {
    this.#words = new Int32Array(memory);
    this.#members = members;
  }

  /**
   * Blocks the thread until all members are here. Either all of them go on or none does.
   * @throws Withdrawn
   */
  wait(): void {
    const before = Atomics.load(this.#words, STATE);
    if (isGivenUp(before)) throw new Withdrawn();
    if (Atomics.add(this.#words, ARRIVED, 1) === this.#members - 1) {
      Atomics.store(this.#words, ARRIVED, 0);
      Atomics.compareExchange(this.#words, STATE, before, before + 2);
      Atomics.notify(this.#words, STATE);
    }
    while (Atomics.load(this.#words, STATE) === before) Atomics.wait(this.#words, STATE, before);
    // Given up later than opened is opened.
    if (Atomics.load(this.#words, STATE) >> 1 === before >> 1) throw new Withdrawn();
  }

  /** For good: all who wait or come later get an error. */
  giveUp(): void {
    Atomics.or(this.#words, STATE, 1);
    Atomics.notify(this.#words, STATE);
  }
}

const isGivenUp = (state: number): boolean => state % 2 !== 0;
