/** Shapes of keys and signatures, apart from the mathematics so that a browser can import them. */
import { z } from "zod";

/** Base64url of exactly `length` bytes. */
export function bytesSchema(length: number) {
  const characters = Math.ceil((length * 4) / 3);
  return z
    .string()
    .regex(new RegExp(`^[A-Za-z0-9_-]{${characters}}$`), `expected ${length} bytes as base64url`);
}

export const publicIdentitySchema = z.strictObject({
  /** Ed25519, 32 bytes. */
  signingKey: bytesSchema(32),
  /** X25519, 32 bytes. */
  sealingKey: bytesSchema(32),
});
export type PublicIdentity = z.infer<typeof publicIdentitySchema>;

export interface Signed<T> {
  readonly body: T;
  /** Ed25519 over `consilium/1 KIND\n` + canonical JSON of the body; 64 bytes as base64url. */
  readonly signature: string;
}

export function signedSchema<T extends z.ZodType>(body: T) {
  return z.strictObject({ body, signature: bytesSchema(64) });
}
