import { ConsiliumError } from "@consilium/shared/errors";
import { beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../clock.ts";
import { Errands } from "./errands.ts";

/** Time that passes when it is told to. */
class HandClock implements Clock {
  #nowMs = 0;
  readonly #due = new Map<() => void, number>();

  now(): number {
    return this.#nowMs;
  }

  steadyMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    this.#due.set(action, this.#nowMs + delayMs);
    return () => this.#due.delete(action);
  }

  /** Ends once what became due, and what follows from it at once, has run. */
  async pass(ms: number): Promise<void> {
    this.#nowMs += ms;
    for (const [action, atMs] of this.#due) {
      if (atMs <= this.#nowMs && this.#due.delete(action)) action();
    }
    await new Promise(setImmediate);
  }
}

const MINUTE_MS = 60_000;

describe("errands", () => {
  let clock: HandClock;
  let errands: Errands;
  let failures: string[];
  let done: string[];
  beforeEach(() => {
    clock = new HandClock();
    failures = [];
    done = [];
    errands = new Errands(clock, ({ code }) => failures.push(code));
  });
  const note = (name: string) => () => {
    done.push(name);
    return Promise.resolve();
  };

  it("run when their time has come, unless they were cancelled", async () => {
    errands.after(1000, note("kept"));
    const cancel = errands.after(1000, note("cancelled"));
    await clock.pass(999);
    expect(done).toEqual([]);
    cancel();
    await clock.pass(1);
    expect(done).toEqual(["kept"]);
  });

  it("are tried again until they succeed, and each failure is told", async () => {
    let left = 2;
    errands.keepTrying(() => {
      if (left-- > 0) return Promise.reject(new ConsiliumError("disk.full"));
      return note("saved")();
    });
    await clock.pass(0);
    await clock.pass(MINUTE_MS);
    expect(failures).toEqual(["disk.full", "disk.full"]);
    await clock.pass(MINUTE_MS);
    await clock.pass(MINUTE_MS);
    expect(done).toEqual(["saved"]);
    expect(failures).toHaveLength(2);
  });

  it("are not begun, tried again or told of once closed", async () => {
    let fail = (): void => undefined;
    const running = new Promise<void>((_resolve, reject) => {
      fail = () => {
        reject(new ConsiliumError("disk.full"));
      };
    });
    errands.after(1000, note("waiting"));
    errands.keepTrying(() => running);
    errands.close();
    errands.after(1000, note("late"));
    fail();
    await clock.pass(MINUTE_MS);
    await clock.pass(MINUTE_MS);
    expect({ done, failures }).toEqual({ done: [], failures: [] });
  });
});
