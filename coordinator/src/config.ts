/** The coordinator's settings: parsed once, frozen, passed on as values. */
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";

export const serveConfigSchema = z.strictObject({
  home: z.string().min(1),
  host: z.string().min(1).default("127.0.0.1"),
  /** 0 takes a free one. */
  port: z.coerce.number().int().min(0).max(65_535).default(8470),
  /** A PostgreSQL address; null for a file in the home folder. */
  database: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "expected postgres://...")
    .nullable()
    .default(null),
  /** `s3://...`; null for files in the home folder. */
  blobs: z.string().nullable().default(null),
  /** Where other coordinators on the same database reach this one; null for the address that it listens on. */
  advertise: z
    .url({ protocol: /^https?$/ })
    .nullable()
    .default(null),
  /** PEM files: the server's certificate with its chain, and its key; null for plain HTTP. */
  tlsCert: z.string().min(1).nullable().default(null),
  tlsKey: z.string().min(1).nullable().default(null),
  /** A PEM file: the authority whose certificate every client has to show one of; null where they need none. */
  tlsClientCa: z.string().min(1).nullable().default(null),
  logLevel: z.enum(["silent", "fatal", "error", "warn", "info", "debug", "trace"]).default("info"),
  /** When enough sites are there but not all of the roster, how long the others are waited for. */
  gatherMs: z.coerce.number().int().min(0).default(3_000),
  /** Sockets that one network address may hold open; a hospital's proxy may stand for several sites. */
  maxSocketsPerAddress: z.coerce.number().int().min(2).default(1_024),
  /** Two are needed; those that a cut link left half-open count until their heartbeat fails. */
  maxSocketsPerSite: z.coerce.number().int().min(2).default(32),
  /** A site's socket that does not answer for so long is let go, in the middle of a message, too. */
  heartbeatTimeoutMs: z.coerce.number().int().min(100).default(60_000),
  /** Connections of any kind, idle ones included; when there are more, those of strangers make room. */
  maxConnections: z.coerce.number().int().min(16).default(8_192),
  /** The largest initial model that is taken, sealed. */
  maxModelBytes: z.coerce
    .number()
    .int()
    .min(1)
    .default(2 * 1024 ** 3),
});

export type ServeConfig = Readonly<z.infer<typeof serveConfigSchema>>;

/** @throws config.invalid, naming each wrong setting */
export function parseConfig(input: z.input<typeof serveConfigSchema>): ServeConfig {
  const parsed = serveConfigSchema.safeParse(input);
  if (parsed.success) return Object.freeze(parsed.data);
  throw new ConsiliumError("config.invalid", {
    detail: parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "),
    culprits: parsed.error.issues.map(({ path }) => path.join(".")),
  });
}
