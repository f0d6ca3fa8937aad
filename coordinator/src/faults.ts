/** Whose fault an error is. */
import type { ErrorCode } from "@consilium/shared/errors";

const OWN: ReadonlySet<ErrorCode> = new Set([
  "internal",
  "disk.full",
  "disk.denied",
  "store.unreachable",
  "lease.lost",
  // Of a federation that is being closed.
  "coordinator.unreachable",
]);

/** Of this machine or what it stands on: says nothing of the bytes that were being worked on, which are kept. */
export const isOwnFault = (code: ErrorCode): boolean => OWN.has(code);
