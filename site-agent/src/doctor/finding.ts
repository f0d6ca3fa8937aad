/** One line of `consilium-site doctor`. */
import { toConsiliumError } from "@consilium/shared/errors";

export interface Finding {
  readonly status: "ok" | "warn" | "fail";
  readonly what: string;
  readonly found: string;
  /** What to do, where there is something to do. */
  readonly next: string | null;
}

export const ok = (what: string, found: string): Finding => ({ status: "ok", what, found, next: null });

export const warn = (what: string, found: string, next: string): Finding => ({
  status: "warn",
  what,
  found,
  next,
});

export const fail = (what: string, error: unknown): Finding => {
  const known = toConsiliumError(error);
  return { status: "fail", what, found: `${known.message} [${known.code}]`, next: known.next };
};
