/**
 * Secrets that serve once. A round function moves the secrets that it needs out of the state it is given and leaves
 * zeros behind, so that a state used a second time is refused instead of answered differently.
 */
import { ConsiliumError } from "../errors.ts";

/** Overwrites with zeros. (Copies that the runtime made on its own are out of reach.) */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

/** @throws secagg.spent if any of them was wiped */
export function assertUnspent(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) {
    if (secret.every((byte) => byte === 0)) throw new ConsiliumError("secagg.spent");
  }
}

/** A copy; the original is wiped. @throws secagg.spent */
export function moveSecret(secret: Uint8Array): Uint8Array {
  assertUnspent(secret);
  const moved = Uint8Array.from(secret);
  wipe(secret);
  return moved;
}
