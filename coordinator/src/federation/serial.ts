/** Actions one at a time, in order of arrival. */
import { ConsiliumError } from "@consilium/shared/errors";

export class Serial {
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @throws what the action throws, which holds up none of the others; coordinator.unreachable once closed */
  run<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closed) throw new ConsiliumError("coordinator.unreachable");
      return action();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Resolves when the action that runs has ended; those that wait are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}
