/** From one who makes things in callbacks to one who takes them in a loop, hand to hand: no more than one waits. */
export class Handover<T> {
  readonly #given: { readonly item: T; readonly taken: () => void }[] = [];
  #wake: () => void = () => undefined;
  #ended = false;

  /** Resolves once it was taken and done with. */
  give(item: T): Promise<void> {
    return new Promise((taken) => {
      this.#given.push({ item, taken });
      this.#wake();
    });
  }

  /** What is given until `work` ends. @throws what the work does */
  async *until(work: Promise<void>): AsyncGenerator<T, void> {
    const end = work.finally(() => {
      this.#ended = true;
      this.#wake();
    });
    // Met below; a taker who leaves early meets nothing.
    end.catch(() => undefined);
    for (;;) {
      const next = this.#given.shift();
      if (next !== undefined) {
        yield next.item;
        next.taken();
      } else if (this.#ended) {
        await end;
        return;
      } else {
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
      }
    }
  }
}
