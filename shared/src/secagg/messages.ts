/** What travels. Everything signed carries the context and its author; kinds of signature are in crypto/identity.ts. */
import { z } from "zod";
import { bytesSchema, signedSchema } from "../crypto/signed.ts";
import { ConsiliumError } from "../errors.ts";
import { sha256Schema, siteIdSchema } from "../ids.ts";
import { GRAPH_DEGREE } from "./threshold.ts";

const context = sha256Schema;
const MAX_SITES = 10_000;
const MAX_HOLDERS = GRAPH_DEGREE + 1;
const siteList = z.array(siteIdSchema).max(MAX_SITES).readonly();

export const SHARE_BYTES = 32;
const NONCE_BYTES = 24;
const BOX_OVERHEAD_BYTES = 16;
/** Nonce, then secretbox of the share of the self seed and the share of the pair secret. */
export const BOX_BYTES = NONCE_BYTES + BOX_OVERHEAD_BYTES + 2 * SHARE_BYTES;

// 1. Advertise

/** `secagg-keys`: X25519 keys for this attempt alone. */
export const signedKeysSchema = signedSchema(
  z.strictObject({
    context,
    site: siteIdSchema,
    /** Shares are sealed for it. */
    sealKey: bytesSchema(32),
    /** Pairwise masks come from it. */
    pairKey: bytesSchema(32),
  }),
);
export type SignedKeys = z.infer<typeof signedKeysSchema>;

/** Coordinator to all. */
export const keyListSchema = z.strictObject({
  context,
  keys: z.array(signedKeysSchema).max(MAX_SITES).readonly(),
});
export type KeyList = z.infer<typeof keyListSchema>;

// 2. Share

/** `secagg-dealing`: what the dealer stands for. Commitment and digests hide what they name: it is uniform. */
export const signedDealingSchema = signedSchema(
  z.strictObject({
    context,
    site: siteIdSchema,
    /** Of the self seed. */
    commitment: sha256Schema,
    /** Of the tree over the digests of all shares (digests.ts). */
    root: sha256Schema,
  }),
);
export type SignedDealing = z.infer<typeof signedDealingSchema>;

const box = bytesSchema(BOX_BYTES);
/** Base64url of some 32-byte hashes. */
const hashes = (most: number) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]*$/)
    .max(Math.ceil((most * 32 * 4) / 3));

/** Site to coordinator. */
export const dealingMessageSchema = z.strictObject({
  dealing: signedDealingSchema,
  /** For each holder in order, SHA-256 of its share of the self seed, then of the pair secret. */
  digests: hashes(2 * MAX_HOLDERS),
  boxes: z
    .array(z.strictObject({ to: siteIdSchema, box }))
    .max(MAX_HOLDERS)
    .readonly(),
});
export type DealingMessage = z.infer<typeof dealingMessageSchema>;

/** Coordinator to one site: what its neighbours dealt it. */
export const deliverySchema = z.strictObject({
  context,
  /** All sites that dealt, also those which are no neighbours. */
  participants: siteList,
  dealings: z
    .array(
      z.strictObject({
        dealing: signedDealingSchema,
        /** From the digests of this site's shares to the dealer's root. */
        path: hashes(Math.ceil(Math.log2(MAX_HOLDERS))),
        box,
      }),
    )
    .max(MAX_HOLDERS)
    .readonly(),
});
export type Delivery = z.infer<typeof deliverySchema>;

// 3. Masked vector

/** `secagg-masked`: the vector itself travels as a frame (frame.ts). */
export const signedMaskedSchema = signedSchema(
  z.strictObject({ context, site: siteIdSchema, sha256: sha256Schema, bytes: z.int().min(1) }),
);
export type SignedMasked = z.infer<typeof signedMaskedSchema>;

// 4. Consistency

/** Coordinator to all survivors. */
export const survivorListSchema = z.strictObject({ context, survivors: siteList });
export type SurvivorList = z.infer<typeof survivorListSchema>;

/** `secagg-survivors`: each site signs one. */
export const signedVoteSchema = signedSchema(
  z.strictObject({
    context,
    site: siteIdSchema,
    /** Hash of the keys and participants that this site was shown. */
    transcript: sha256Schema,
    /** Hash of the survivor list that this site was shown. */
    survivors: sha256Schema,
  }),
);
export type SignedVote = z.infer<typeof signedVoteSchema>;

/** Coordinator to all survivors. */
export const agreementSchema = z.strictObject({
  context,
  votes: z.array(signedVoteSchema).max(MAX_SITES).readonly(),
});
export type Agreement = z.infer<typeof agreementSchema>;

// 5. Unmask

/** `secagg-release`: of each neighbour (and itself) one share: a survivor's self seed, another's pair secret. */
export const signedReleaseSchema = signedSchema(
  z.strictObject({
    context,
    site: siteIdSchema,
    survivors: sha256Schema,
    shares: z
      .array(z.strictObject({ of: siteIdSchema, share: bytesSchema(SHARE_BYTES) }))
      .max(MAX_HOLDERS)
      .readonly(),
  }),
);
export type SignedRelease = z.infer<typeof signedReleaseSchema>;

/** @throws protocol.invalid-message, without repeating what was sent */
export function parseMessage<T extends z.ZodType>(schema: T, message: unknown): z.infer<T> {
  const parsed = schema.safeParse(message);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join("."));
  throw new ConsiliumError("protocol.invalid-message", { culprits: fields });
}
