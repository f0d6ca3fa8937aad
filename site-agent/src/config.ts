/** The site's settings: what config.json holds, and where the home folder is. */
import path from "node:path";
import { publicIdentitySchema, signedSchema } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import { siteIdSchema, type SiteId } from "@consilium/shared/ids";
import { planSchema } from "@consilium/shared/plan-schema";
import { z } from "zod";

/** What joining pinned: whom to believe, where it answers, and what was agreed. */
export const enrolmentSchema = z.strictObject({
  coordinatorUrl: z.url({ protocol: /^https?$/ }),
  coordinator: publicIdentitySchema,
  plan: signedSchema(planSchema),
});
export type Enrolment = z.infer<typeof enrolmentSchema>;

/** Absolute places of PEM files that the way to the coordinator asks for; their content is read anew each time. */
export const tlsPathsSchema = z.strictObject({
  ca: z.string().exactOptional(),
  cert: z.string().exactOptional(),
  key: z.string().exactOptional(),
});
export type TlsPaths = Readonly<z.infer<typeof tlsPathsSchema>>;

export const siteConfigSchema = z.strictObject({
  schemaVersion: z.literal(1),
  site: siteIdSchema,
  enrolment: enrolmentSchema.nullable(),
  tls: tlsPathsSchema.exactOptional(),
});
export type SiteConfig = z.infer<typeof siteConfigSchema>;

/** A folder or label under the home folder: no separators, no dots in front. */
export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, "use letters, digits, - and _, at most 63");

export type Environment = Readonly<Record<string, string | undefined>>;

/** `--home`, else CONSILIUM_SITE_HOME, else ~/.consilium/site. */
export function homeFolder(option: string | undefined, env: Environment, userHome: string): string {
  const chosen = option ?? env["CONSILIUM_SITE_HOME"];
  return chosen === undefined || chosen === ""
    ? path.join(userHome, ".consilium", "site")
    : path.resolve(chosen);
}

/** @throws config.invalid */
export function parseSiteName(text: string): SiteId {
  const parsed = siteIdSchema.safeParse(text);
  if (!parsed.success) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--site: use 1 to 63 of a-z, 0-9 and inner hyphens)",
      culprits: ["site"],
    });
  }
  return parsed.data;
}

/** @throws config.invalid unless it is an http or https address without user name and password */
export function parseCoordinatorUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new ConsiliumError("config.invalid", {
      detail: "(--coordinator: give an address like https://coordinator.example)",
      culprits: ["coordinator"],
    });
  }
  return new URL(url.pathname.endsWith("/") ? url.pathname : `${url.pathname}/`, url.origin).href;
}

/** @throws config.invalid, naming the option */
export function parseName(option: string, text: string): string {
  const parsed = nameSchema.safeParse(text);
  if (!parsed.success) {
    throw new ConsiliumError("config.invalid", {
      detail: `(${option}: use letters, digits, - and _, at most 63)`,
      culprits: [option],
    });
  }
  return parsed.data;
}
