/** Undoes what was set up, newest first; one failure does not keep the rest from it. */
import { toConsiliumError } from "@consilium/shared/errors";
import type { Logger } from "pino";

export class Cleanup {
  readonly #steps: (() => unknown)[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        this.#logger.warn({ code: toConsiliumError(error).code }, "could not close everything");
      }
    }
  }
}
