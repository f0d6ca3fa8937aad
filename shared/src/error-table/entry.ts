/** A line of the error table. */

export interface ErrorEntry {
  /** What happened, in one sentence without data of the case. */
  readonly meaning: string;
  /** What the person at the terminal does next. */
  readonly next: string;
  /** Whether the same call may succeed later without anyone doing anything. */
  readonly retry: boolean;
  /** HTTP status when the error crosses a route. */
  readonly status: number;
}

export const entry = (status: number, retry: boolean, meaning: string, next: string): ErrorEntry => ({
  status,
  retry,
  meaning,
  next,
});
