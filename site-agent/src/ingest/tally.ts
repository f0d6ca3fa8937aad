/** What became of the files of one source so far: used, or set aside for a reason. */
import type { ErrorCode } from "@consilium/shared/errors";

/** Null for a file whose image is used. */
export type Verdict = ErrorCode | null;

/** Of a file that is met again the later verdict counts; but what was used once is in the cache and stays used. */
export class Tally {
  readonly #verdicts = new Map<string, Verdict>();
  readonly #quarantined = new Map<ErrorCode, number>();
  #used = 0;

  get files(): number {
    return this.#verdicts.size;
  }

  get used(): number {
    return this.#used;
  }

  get quarantined(): Readonly<Partial<Record<ErrorCode, number>>> {
    return Object.fromEntries(this.#quarantined);
  }

  /** @returns whether it is news */
  note(file: string, verdict: Verdict): boolean {
    const before = this.#verdicts.get(file);
    if (before === null || before === verdict) return false;
    if (before !== undefined) this.#count(before, -1);
    this.#verdicts.set(file, verdict);
    if (verdict === null) this.#used += 1;
    else this.#count(verdict, 1);
    return true;
  }

  #count(code: ErrorCode, change: number): void {
    const count = (this.#quarantined.get(code) ?? 0) + change;
    if (count === 0) this.#quarantined.delete(code);
    else this.#quarantined.set(code, count);
  }
}
