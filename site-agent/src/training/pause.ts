/** A training that is to rest between two steps, and to go on later. */
export class Pause {
  #paused = false;
  readonly #listeners = new Set<(paused: boolean) => void>();

  get paused(): boolean {
    return this.#paused;
  }

  /** @returns whether that is a change */
  set(paused: boolean): boolean {
    if (paused === this.#paused) return false;
    this.#paused = paused;
    for (const listener of this.#listeners) listener(paused);
    return true;
  }

  /** @returns a function that ends the subscription */
  subscribe(listener: (paused: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves at once unless paused. */
  async resumed(): Promise<void> {
    if (!this.#paused) return;
    await new Promise<void>((resolve) => {
      const end = this.subscribe((paused) => {
        if (paused) return;
        end();
        resolve();
      });
    });
  }
}
