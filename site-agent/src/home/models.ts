/** The encoders that a site holds: the federation's and its own. */
import { sha256 } from "@consilium/shared/canonical";
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from "@consilium/shared/codec";
import { verify } from "@consilium/shared/crypto/identity";
import {
  publicIdentitySchema,
  signedSchema,
  type PublicIdentity,
  type Signed,
} from "@consilium/shared/crypto/signed";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { checkpointRecordSchema, type CheckpointRecord } from "@consilium/shared/protocol/round";
import { jsonOrNull } from "@consilium/shared/json";
import { z } from "zod";
import { fileBytes, readIfPresent, readTextIfPresent, writeFileAtomic } from "./files.ts";
import type { Home } from "./home.ts";

export type ModelName = "global" | "own";

export interface HeldModel extends Checkpoint {
  readonly bytes: Uint8Array;
  readonly sha256: Sha256;
  /** Where a global model comes from. */
  readonly record: CheckpointRecord | null;
}

/** Beside a global model: who vouches for it. */
const originSchema = z.strictObject({
  schemaVersion: z.literal(1),
  coordinator: publicIdentitySchema,
  record: signedSchema(checkpointRecordSchema),
});

export async function storeGlobalModel(
  home: Home,
  checkpoint: Uint8Array,
  record: Signed<CheckpointRecord>,
  coordinator: PublicIdentity,
): Promise<void> {
  const origin: z.infer<typeof originSchema> = { schemaVersion: 1, coordinator, record };
  await writeFileAtomic(home.modelFile("global"), checkpoint);
  await writeFileAtomic(home.globalRecordFile, `${JSON.stringify(origin, null, 2)}\n`);
}

export async function storeOwnModel(home: Home, checkpoint: Checkpoint): Promise<Sha256> {
  const bytes = encodeCheckpoint(checkpoint);
  await writeFileAtomic(home.modelFile("own"), bytes);
  return sha256(bytes);
}

/**
 * A global model is checked against its signed record again, so that a damaged file is never taken for the encoder.
 * @throws model.missing, hash.mismatch, crypto.bad-signature, frame.*
 */
export async function readModel(home: Home, name: ModelName): Promise<HeldModel> {
  const bytes = await readIfPresent(home.modelFile(name));
  if (bytes === null) throw new ConsiliumError("model.missing", { culprits: [name] });
  const held = { ...decodeCheckpoint(bytes), bytes, sha256: sha256(bytes), record: null };
  if (name === "own") return held;
  const record = await readRecord(home);
  if (record.sha256 !== held.sha256) throw new ConsiliumError("hash.mismatch", { culprits: [name] });
  return { ...held, record };
}

export async function holdsModel(home: Home, name: ModelName): Promise<boolean> {
  return (await fileBytes(home.modelFile(name))) !== null;
}

async function readRecord(home: Home): Promise<CheckpointRecord> {
  const text = await readTextIfPresent(home.globalRecordFile);
  const parsed = originSchema.safeParse(text === null ? null : jsonOrNull(text));
  if (!parsed.success) throw new ConsiliumError("crypto.bad-signature", { culprits: ["global"] });
  return verify("checkpoint", parsed.data.record, parsed.data.coordinator);
}
