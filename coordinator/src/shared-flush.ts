/** A flush that many wait for: whoever has written waits for one that began afterwards, and no longer. */

export class SharedFlush {
  readonly #flush: () => Promise<void>;
  /** That is under way, or was the last. */
  #current: Promise<void> = Promise.resolve();
  /** Not begun yet. */
  #next: Promise<void> | null = null;

  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  /** What was written before this call is on disk when the promise resolves. @throws what the flush throws */
  after(): Promise<void> {
    this.#next ??= this.#current
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return (this.#current = this.#flush());
      });
    return this.#next;
  }
}
