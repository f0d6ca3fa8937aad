/**
 * Golden vectors for everything on the wire. Another implementation can check itself against test/vectors/wire.json;
 * a change here is a change of the protocol and raises PROTOCOL_VERSION.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import {
  assertUpdateHeader,
  decodeCheckpoint,
  encodeCheckpoint,
  encodeUpdate,
} from "@consilium/shared/codec";
import { open, seal } from "@consilium/shared/crypto/envelope";
import { fingerprint, identityFromSecrets, sign, verify } from "@consilium/shared/crypto/identity";
import { manifestHash } from "@consilium/shared/manifest";
import { manifestSchema } from "@consilium/shared/manifest-schema";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { z } from "zod";

const hex = z
  .string()
  .regex(/^([0-9a-f]{2})*$/)
  .transform((text) => new Uint8Array(Buffer.from(text, "hex")));
const vectors = z
  .strictObject({
    identity: z.strictObject({
      signingSeed: hex,
      sealingSecret: hex,
      public: z.strictObject({ signingKey: z.string(), sealingKey: z.string() }),
      fingerprint: z.string(),
    }),
    canonical: z.strictObject({ value: z.json(), text: z.string(), sha256: z.string() }),
    signature: z.strictObject({ body: z.record(z.string(), z.json()), signature: z.string() }),
    plan: z.strictObject({ input: z.json(), hash: z.string() }),
    frames: z.strictObject({
      manifest: manifestSchema,
      manifestHash: z.string(),
      values: z.array(z.number()),
      checkpoint: hex,
      update: hex,
    }),
    envelope: z.strictObject({
      random: z.array(hex),
      context: z.strictObject({
        kind: z.string(),
        federation: z.string(),
        round: z.int(),
        attempt: z.int(),
        site: z.string(),
      }),
      chunkBytes: z.int(),
      plaintext: hex,
      sealed: hex,
    }),
  })
  .parse(JSON.parse(readFileSync(new URL("../vectors/wire.json", import.meta.url), "utf8")));

const identity = identityFromSecrets(vectors.identity.signingSeed, vectors.identity.sealingSecret);

it("derives public keys and the fingerprint from the secrets", () => {
  expect(identity.public).toEqual(vectors.identity.public);
  expect(fingerprint(identity.public)).toBe(vectors.identity.fingerprint);
});

it("prints canonical JSON and its hash", () => {
  expect(canonicalJson(vectors.canonical.value)).toBe(vectors.canonical.text);
  expect(sha256(vectors.canonical.text)).toBe(vectors.canonical.sha256);
});

it("signs deterministically and verifies", () => {
  const { body, signature } = vectors.signature;
  expect(sign("contribution", body, identity).signature).toBe(signature);
  expect(verify("contribution", { body, signature }, identity.public)).toEqual(body);
});

it("hashes a plan with its defaults", () => {
  expect(planHash(parsePlan(vectors.plan.input))).toBe(vectors.plan.hash);
});

it("writes and reads both frames", () => {
  const { manifest, values, checkpoint, update } = vectors.frames;
  const weights = Float32Array.from(values);
  expect(manifestHash(manifest)).toBe(vectors.frames.manifestHash);
  expect(Buffer.from(encodeCheckpoint({ manifest, values: weights }))).toEqual(Buffer.from(checkpoint));
  expect(Buffer.from(encodeUpdate(manifest, weights))).toEqual(Buffer.from(update));
  expect(decodeCheckpoint(checkpoint).values).toEqual(weights);
  assertUpdateHeader(manifestHash(manifest), update);
});

it("seals with given randomness to given bytes, and opens them", async () => {
  const { random, context, chunkBytes, plaintext, sealed } = vectors.envelope;
  const draws = random.values();
  const draw = () => draws.next().value ?? new Uint8Array(0);
  const made = seal(plaintext, { reader: identity.public, context, random: draw, chunkBytes });
  expect(Buffer.from(made)).toEqual(Buffer.from(sealed));
  expect(await open(sealed, identity, context)).toEqual(plaintext);
});
