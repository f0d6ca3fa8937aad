/** Goes on with the messages that are good and names the sites whose are not. */
import { ConsiliumError } from "../../errors.ts";
import type { SiteId } from "../../ids.ts";
import type { Refusal } from "../round.ts";

/** Messages that have passed their step's check before, and go on without it. */
export type Checked = Pick<WeakSet<object>, "has">;

const NONE: Checked = new WeakSet();

/**
 * @param check throws ConsiliumError for a message that cannot be used
 * @returns the messages that passed, one for each site (the first), and a refusal for each other
 */
export function admit<Message extends object>(
  messages: readonly Message[],
  siteOf: (message: Message) => SiteId,
  check: (message: Message) => void,
  checked: Checked = NONE,
): { readonly admitted: ReadonlyMap<SiteId, Message>; readonly refused: readonly Refusal[] } {
  const admitted = new Map<SiteId, Message>();
  const refused: Refusal[] = [];
  for (const message of messages) {
    const site = siteOf(message);
    try {
      if (admitted.has(site)) {
        throw new ConsiliumError("protocol.invalid-message", { detail: "(sent twice)", culprits: [site] });
      }
      if (!checked.has(message)) check(message);
      admitted.set(site, message);
    } catch (error) {
      if (!(error instanceof ConsiliumError)) throw error;
      refused.push({ site, error });
    }
  }
  return { admitted, refused };
}
