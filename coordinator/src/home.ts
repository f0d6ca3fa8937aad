/**
 * The coordinator's home folder: coordinator.db, blobs/, audit.jsonl, identity.json and operator.token (both 0600, made at
 * the first start), address.json (where the running coordinator listens), lock.db (held while it runs), spool/ (objects on
 * their way to S3).
 */
import { access, constants, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fromBase64Url, toBase64Url } from "@consilium/shared/crypto/encoding";
import {
  createIdentity,
  identityFromSecrets,
  type Identity,
  type RandomBytes,
} from "@consilium/shared/crypto/identity";
import { bytesSchema } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import { z } from "zod";
import { syncFolder } from "./durable.ts";

const identityFileSchema = z.strictObject({
  schemaVersion: z.literal(1),
  signingSeed: bytesSchema(32),
  sealingSecret: bytesSchema(32),
});
const addressFileSchema = z.strictObject({ url: z.url() });

export interface Home {
  readonly identity: Identity;
  readonly operatorToken: string;
  readonly databaseFile: string;
  readonly lockFile: string;
  readonly auditFile: string;
  readonly blobsFolder: string;
  readonly spoolFolder: string;
}

/** Makes what is missing. @throws config.invalid if a file is damaged */
export async function openHome(folder: string, random: RandomBytes): Promise<Home> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new ConsiliumError("config.invalid", {
      detail: "(the home folder cannot be written)",
      culprits: ["home"],
      cause,
    });
  }
  return {
    identity: await openIdentity(path.join(folder, "identity.json"), random),
    operatorToken: await openOperatorToken(operatorTokenFile(folder), random),
    ...homePaths(folder),
  };
}

export function homePaths(folder: string) {
  return {
    databaseFile: path.join(folder, "coordinator.db"),
    lockFile: path.join(folder, "lock.db"),
    auditFile: path.join(folder, "audit.jsonl"),
    blobsFolder: path.join(folder, "blobs"),
    spoolFolder: path.join(folder, "spool"),
  };
}

/** Where the command line finds the coordinator that runs on this home. */
export async function writeAddress(folder: string, url: string): Promise<void> {
  await writeDurably(addressFile(folder), JSON.stringify({ url }));
}

export async function removeAddress(folder: string): Promise<void> {
  await rm(addressFile(folder), { force: true });
}

/** @throws coordinator.unreachable if none runs, config.invalid if this is no home */
export async function readOperatorAccess(folder: string): Promise<{ url: string; token: string }> {
  const token = await readText(operatorTokenFile(folder));
  if (token === null) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--home is not the home folder of a coordinator)",
      culprits: ["home"],
    });
  }
  const address = await readText(addressFile(folder));
  if (address === null) {
    throw new ConsiliumError("coordinator.unreachable", {
      detail: "(start it with consilium-coordinator serve)",
    });
  }
  return { url: parseFile(addressFileSchema, address, "address.json").url, token: token.trim() };
}

/** The keys of a home that is there. @throws config.invalid */
export async function readIdentity(folder: string): Promise<Identity> {
  const known = await knownIdentity(path.join(folder, "identity.json"));
  if (known !== null) return known;
  const detail = "(--home is not the home folder of a coordinator)";
  throw new ConsiliumError("config.invalid", { detail, culprits: ["home"] });
}

async function knownIdentity(file: string): Promise<Identity | null> {
  const text = await readText(file);
  if (text === null) return null;
  const { signingSeed, sealingSecret } = parseFile(identityFileSchema, text, "identity.json");
  return identityFromSecrets(fromBase64Url(signingSeed), fromBase64Url(sealingSecret));
}

async function openIdentity(file: string, random: RandomBytes): Promise<Identity> {
  const known = await knownIdentity(file);
  if (known !== null) return known;
  const identity = createIdentity(random);
  const secrets = {
    schemaVersion: 1,
    signingSeed: toBase64Url(identity.signingSeed),
    sealingSecret: toBase64Url(identity.sealingSecret),
  };
  await writeDurably(file, JSON.stringify(secrets));
  return identity;
}

async function openOperatorToken(file: string, random: RandomBytes): Promise<string> {
  const text = await readText(file);
  if (text !== null) return parseFile(bytesSchema(32), JSON.stringify(text.trim()), "operator.token");
  const token = toBase64Url(random(32));
  await writeDurably(file, `${token}\n`);
  return token;
}

const operatorTokenFile = (folder: string): string => path.join(folder, "operator.token");
const addressFile = (folder: string): string => path.join(folder, "address.json");

/** Readable by the owner alone from its first byte, and whole or absent. */
async function writeDurably(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, text, { mode: 0o600, flag: "wx", flush: true });
  await rename(temporary, file);
  await syncFolder(path.dirname(file));
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

function parseFile<T extends z.ZodType>(schema: T, text: string, name: string): z.infer<T> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ConsiliumError("config.invalid", {
      detail: `(${name} in the home folder is damaged)`,
      culprits: [name],
      cause,
    });
  }
}
