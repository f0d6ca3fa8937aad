/**
 * A site's home folder:
 *
 *     config.json       name, pinned coordinator keys, signed plan, places of the certificates to reach it with
 *     identity.json     secret keys, readable by its owner alone
 *     hmac.json         secret behind the pseudonyms of images and patients, likewise
 *     caches/NAME/      images as ingested, nothing identifying
 *     federation/       base checkpoint, the model that the plan starts from, unfinished training, sealed update,
 *                       optimiser moments, how the images compare
 *     models/           encoders: global.ckpt, own.ckpt
 *     policy.json       what this site allows, whatever a plan says
 *     roster.json       keys of the federation's sites, as first seen and as co-signed since
 *     audit-heads.jsonl heads of the coordinator's audit log that this site has countersigned
 *     receipts.jsonl    what left this site
 *     privacy.json      how much privacy training may spend here; absent: the default
 *     privacy-ledger.jsonl  what it has spent
 *     lock.db           held while an agent runs here
 */
import path from "node:path";
import { fromBase64Url, toBase64Url } from "@consilium/shared/crypto/encoding";
import {
  createIdentity,
  identityFromSecrets,
  verify,
  type Identity,
  type RandomBytes,
} from "@consilium/shared/crypto/identity";
import { bytesSchema } from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { z } from "zod";
import { siteConfigSchema, type Enrolment, type SiteConfig, type TlsPaths } from "../config.ts";
import { DEFAULT_POLICY, policySchema, type Policy } from "../policy.ts";
import { ensureFolder, readTextIfPresent, removeFolder, writeFileAtomic } from "./files.ts";

const identitySchema = z.strictObject({
  schemaVersion: z.literal(1),
  signingSeed: bytesSchema(32),
  sealingSecret: bytesSchema(32),
});
const hmacSchema = z.strictObject({ schemaVersion: z.literal(1), secret: bytesSchema(32) });

/** A site that has joined. */
export interface JoinedSite {
  readonly site: SiteId;
  readonly enrolment: Enrolment;
  readonly plan: Plan;
}

export interface Home {
  readonly folder: string;
  readConfig(): Promise<SiteConfig>;
  /** Moves to another enrolment; the federation's working files of another plan are dropped. */
  enrol(enrolment: Enrolment): Promise<void>;
  /** Keeps where the certificates lie with which the coordinator is reached. */
  setTls(tls: TlsPaths): Promise<void>;
  /** @throws home.not-joined, crypto.bad-signature if the pinned plan was altered */
  joined(): Promise<JoinedSite>;
  identity(): Promise<Identity>;
  /** 32 bytes. */
  hmacSecret(): Promise<Uint8Array>;
  cacheFolder(name: string): string;
  /** Whoever fills the cache holds a lock here; training reads it without one. */
  cacheLockFolder(name: string): string;
  modelFile(name: "global" | "own"): string;
  /** The signed record of where the global model comes from. */
  readonly globalRecordFile: string;
  readonly federationFolder: string;
  /** Global models, and the one that the plan starts from. */
  readonly checkpointsFolder: string;
  /** A home from before there were policies has the default one. */
  policy(): Promise<Policy>;
  setPolicy(policy: Policy): Promise<void>;
  readonly rosterFile: string;
  readonly auditHeadsFile: string;
  readonly receiptsFile: string;
  readonly privacyPolicyFile: string;
  readonly privacyLedgerFile: string;
}

/** @throws home.missing unless `init` was run here */
export async function openHome(folder: string): Promise<Home> {
  const home = homeAt(folder);
  await home.readConfig();
  return home;
}

/**
 * Makes a home with a new identity. With `force` an older identity is replaced and its enrolment forgotten; the HMAC
 * secret stays, because caches and label files are joined through it.
 * @throws home.exists
 */
export async function initHome(
  folder: string,
  site: SiteId,
  random: RandomBytes,
  force: boolean,
): Promise<{ home: Home; identity: Identity }> {
  const home = homeAt(folder);
  if (!force && (await readTextIfPresent(identityFile(folder))) !== null) {
    throw new ConsiliumError("home.exists");
  }
  await ensureFolder(folder);
  await removeFolder(home.federationFolder);
  const identity = createIdentity(random);
  if ((await readTextIfPresent(hmacFile(folder))) === null) {
    await writeJson(hmacFile(folder), { schemaVersion: 1, secret: toBase64Url(random(32)) });
  }
  if ((await readTextIfPresent(policyFile(folder))) === null) await home.setPolicy(DEFAULT_POLICY);
  await writeJson(configFile(folder), { schemaVersion: 1, site, enrolment: null });
  await writeJson(identityFile(folder), {
    schemaVersion: 1,
    signingSeed: toBase64Url(identity.signingSeed),
    sealingSecret: toBase64Url(identity.sealingSecret),
  });
  return { home, identity };
}

const configFile = (folder: string): string => path.join(folder, "config.json");
const identityFile = (folder: string): string => path.join(folder, "identity.json");
const policyFile = (folder: string): string => path.join(folder, "policy.json");
const hmacFile = (folder: string): string => path.join(folder, "hmac.json");

function homeAt(folder: string): Home {
  const federationFolder = path.join(folder, "federation");
  const readConfig = () => readJson(configFile(folder), "config.json", siteConfigSchema);
  return {
    folder,
    readConfig,
    async enrol(enrolment) {
      const config = await readConfig();
      const same = config.enrolment?.plan.signature === enrolment.plan.signature;
      if (!same) await removeFolder(federationFolder);
      await writeJson(configFile(folder), { ...config, enrolment });
    },
    async setTls(tls) {
      const { schemaVersion, site, enrolment } = await readConfig();
      const given = Object.keys(tls).length > 0 ? { tls } : {};
      await writeJson(configFile(folder), { schemaVersion, site, enrolment, ...given });
    },
    async joined() {
      const { site, enrolment } = await readConfig();
      if (enrolment === null) throw new ConsiliumError("home.not-joined");
      const plan = parsePlan(verify("plan", enrolment.plan, enrolment.coordinator));
      return { site, enrolment, plan };
    },
    async identity() {
      const stored = await readJson(identityFile(folder), "identity.json", identitySchema);
      return identityFromSecrets(fromBase64Url(stored.signingSeed), fromBase64Url(stored.sealingSecret));
    },
    async hmacSecret() {
      return fromBase64Url((await readJson(hmacFile(folder), "hmac.json", hmacSchema)).secret);
    },
    cacheFolder: (name) => path.join(folder, "caches", name),
    cacheLockFolder: (name) => path.join(folder, "locks", name),
    modelFile: (name) => path.join(folder, "models", `${name}.ckpt`),
    globalRecordFile: path.join(folder, "models", "global.json"),
    federationFolder,
    checkpointsFolder: path.join(federationFolder, "checkpoints"),
    async policy() {
      const file = policyFile(folder);
      return (await readTextIfPresent(file)) === null
        ? DEFAULT_POLICY
        : readJson(file, "policy.json", policySchema);
    },
    setPolicy: (policy) => writeJson(policyFile(folder), policy),
    rosterFile: path.join(folder, "roster.json"),
    auditHeadsFile: path.join(folder, "audit-heads.jsonl"),
    receiptsFile: path.join(folder, "receipts.jsonl"),
    privacyPolicyFile: path.join(folder, "privacy.json"),
    privacyLedgerFile: path.join(folder, "privacy-ledger.jsonl"),
  };
}

/** @throws home.missing, config.invalid; the content never enters the message */
async function readJson<T extends z.ZodType>(file: string, name: string, schema: T): Promise<z.infer<T>> {
  const text = await readTextIfPresent(file);
  if (text === null) throw new ConsiliumError("home.missing", { detail: `(no ${name})` });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ConsiliumError("config.invalid", { detail: `(${name} is not JSON)` });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => issue.path.join("."));
    throw new ConsiliumError("config.invalid", {
      detail: `(${name}: ${fields.join(", ")})`,
      culprits: fields,
    });
  }
  return parsed.data;
}

async function writeJson(file: string, value: object): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify(value, null, 2)}\n`);
}
