import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import { fromBase64Url, toBase64Url } from "./encoding.ts";
import { fingerprint, identityFromSecrets, sign, verify } from "./identity.ts";
import { x25519 } from "./x25519.ts";

const site = identityFromSecrets(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
const other = identityFromSecrets(new Uint8Array(32).fill(3), new Uint8Array(32).fill(4));
const badSignature = expect.objectContaining({ code: "crypto.bad-signature" }) as Error;

describe("signatures", () => {
  it("verify with the key that made them, whatever the order of the members", () => {
    const signed = sign("contribution", { round: 1, site: "a" }, site);
    expect(verify("contribution", { ...signed, body: { site: "a", round: 1 } }, site.public)).toEqual(
      signed.body,
    );
  });

  it("are the bytes that tweetnacl makes of the same seed", () => {
    const { body, signature } = sign("contribution", { round: 1, site: "a" }, site);
    const message = new TextEncoder().encode(`consilium/1 contribution\n${JSON.stringify(body)}`);
    const { secretKey } = nacl.sign.keyPair.fromSeed(site.signingSeed);
    expect(signature).toBe(toBase64Url(nacl.sign.detached(message, secretKey)));
  });

  it("do not verify with another key, for another purpose or another body", () => {
    const signed = sign("contribution", { round: 1 }, site);
    expect(() => verify("contribution", signed, other.public)).toThrow(badSignature);
    expect(() => verify("session", signed, site.public)).toThrow(badSignature);
    expect(() => verify("contribution", { ...signed, body: { round: 2 } }, site.public)).toThrow(
      badSignature,
    );
  });

  it("are refused when malleated (S + L), which tweetnacl alone accepts", () => {
    const signed = sign("session", { a: 1 }, site);
    const bytes = fromBase64Url(signed.signature);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    let s = bytes.slice(32).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n) + order;
    for (let i = 32; i < 64; i++, s >>= 8n) bytes[i] = Number(s & 255n);
    const message = new TextEncoder().encode('consilium/1 session\n{"a":1}');
    expect(nacl.sign.detached.verify(message, bytes, fromBase64Url(site.public.signingKey))).toBe(true);
    expect(() => verify("session", { ...signed, signature: toBase64Url(bytes) }, site.public)).toThrow(
      badSignature,
    );
  });
});

describe("x25519", () => {
  const own = { secretKey: site.sealingSecret, publicKey: fromBase64Url(site.public.sealingKey) };

  it("refuses keys of low order", () => {
    for (const point of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31))]) {
      expect(() => x25519(own, point)).toThrow();
    }
  });

  it("agrees as tweetnacl does", () => {
    const publicKey = fromBase64Url(other.public.sealingKey);
    expect(x25519(own, publicKey)).toEqual(nacl.scalarMult(site.sealingSecret, publicKey));
  });
});

describe("fingerprint", () => {
  it("is eight groups that depend on both keys", () => {
    expect(fingerprint(site.public)).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
    expect(fingerprint({ ...site.public, sealingKey: other.public.sealingKey })).not.toBe(
      fingerprint(site.public),
    );
  });
});
