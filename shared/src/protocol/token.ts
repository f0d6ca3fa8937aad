/**
 * The one-time enrolment token, which a person hands from the coordinator's operator to the site's:
 * `consilium1.FEDERATION.SITE.SIGNING_KEY.SEALING_KEY.SECRET`. It carries the coordinator's public keys, so the site pins
 * them without trusting the network.
 */
import { z } from "zod";
import { bytesSchema, publicIdentitySchema } from "../crypto/signed.ts";
import { ConsiliumError } from "../errors.ts";
import { federationIdSchema, siteIdSchema } from "../ids.ts";

const PREFIX = "consilium1";

export const enrolmentTokenSchema = z.strictObject({
  federation: federationIdSchema,
  site: siteIdSchema,
  coordinator: publicIdentitySchema,
  secret: bytesSchema(32),
});
export type EnrolmentToken = z.infer<typeof enrolmentTokenSchema>;

export function formatToken({ federation, site, coordinator, secret }: EnrolmentToken): string {
  return [PREFIX, federation, site, coordinator.signingKey, coordinator.sealingKey, secret].join(".");
}

/** @throws enrolment.token-unknown if the text is not a whole token. */
export function parseToken(text: string): EnrolmentToken {
  const [prefix, federation, site, signingKey, sealingKey, secret, ...rest] = text.trim().split(".");
  const parsed = enrolmentTokenSchema.safeParse({
    federation,
    site,
    coordinator: { signingKey, sealingKey },
    secret,
  });
  if (prefix !== PREFIX || rest.length > 0 || !parsed.success) {
    throw new ConsiliumError("enrolment.token-unknown", { detail: "(not a whole token)" });
  }
  return parsed.data;
}
