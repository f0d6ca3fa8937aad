/** JSON from outside, before a schema has looked at it. */

/** What the text says, or null where it is no JSON: no schema here takes null. */
export function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
