/** A fingerprint as words: what two people read to each other by telephone. */
import { entropyToMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { fingerprint } from "./identity.ts";
import type { PublicIdentity } from "./signed.ts";

/**
 * The same 128 bits as the hexadecimal form, as twelve words of BIP-39's English list. The last word holds four bits of
 * checksum, and no two words of the list begin with the same four letters.
 */
export function fingerprintWords(identity: PublicIdentity): string {
  return entropyToMnemonic(Buffer.from(fingerprint(identity).replaceAll(" ", ""), "hex"), wordlist);
}

/** Both forms, as they are shown to people. */
export interface Print {
  readonly fingerprint: string;
  readonly words: string;
}

/** A status shows the prints of all sites, and looking a word up checks the whole list. */
const prints = new WeakMap<PublicIdentity, Print>();

export function printOf(identity: PublicIdentity): Print {
  const known = prints.get(identity);
  if (known !== undefined) return known;
  const print = { fingerprint: fingerprint(identity), words: fingerprintWords(identity) };
  prints.set(identity, print);
  return print;
}
