/**
 * Canonical JSON (the part of RFC 8785 that our values need): keys sorted by UTF-16 code units, no white space,
 * numbers as ECMAScript prints them. What is hashed or signed goes through here, so that both sides see the same bytes.
 */
import { createHash } from "node:crypto";
import type { Sha256 } from "./ids.ts";

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/** Throws TypeError on NaN and infinities, which JSON cannot carry. Undefined members are left out. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError("canonical JSON has no NaN or infinity");
    return JSON.stringify(value);
  }
  if (isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members = Object.keys(value)
    .sort()
    .flatMap((key) => {
      const member = value[key];
      return member === undefined ? [] : [`${JSON.stringify(key)}:${canonicalJson(member)}`];
    });
  return `{${members.join(",")}}`;
}

const isArray = (value: Json): value is readonly Json[] => Array.isArray(value);

export function sha256(...parts: readonly (Uint8Array | string)[]): Sha256 {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex") as Sha256;
}
