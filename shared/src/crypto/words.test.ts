import { validateMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { expect, it } from "vitest";
import { createIdentity } from "./identity.ts";
import { printOf } from "./words.ts";

const identity = (byte: number) => createIdentity((length) => new Uint8Array(length).fill(byte)).public;

it("says a fingerprint in twelve words with a checksum, others for another key", () => {
  const { words, fingerprint } = printOf(identity(1));
  expect(words.split(" ")).toHaveLength(12);
  expect(validateMnemonic(words, wordlist)).toBe(true);
  expect(fingerprint).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
  expect(printOf(identity(1)).words).toBe(words);
  expect(printOf(identity(2)).words).not.toBe(words);
});
