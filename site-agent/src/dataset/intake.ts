/**
 * What became of the files of each folder that was read into a cache, in `intake.json` beside it: counts and approvals,
 * under the folder's HMAC. Training waits while a folder gave fewer images than it should, until a person has looked.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, sha256 } from "@consilium/shared/canonical";
import { ConsiliumError, ERRORS, type ErrorCode } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { z } from "zod";
import { errorCode, writeFileAtomic } from "./files.ts";

const INTAKE_FILE = "intake.json";

/** Share of a folder's files that has to be used. */
export const MINIMUM_USED = 0.8;

const codeSchema = z.custom<ErrorCode>((code) => typeof code === "string" && code in ERRORS);

const folderSchema = z.strictObject({
  files: z.int().min(1),
  used: z.int().min(0),
  /** Files that were set aside, by reason. */
  quarantined: z.partialRecord(codeSchema, z.int().min(1)),
  minimumUsed: z.number().min(0).max(1),
  /** The share that a person approved, or null. */
  approvedShare: z.number().min(0).max(1).nullable(),
});
export type FolderIntake = z.infer<typeof folderSchema>;

const intakeSchema = z.strictObject({
  version: z.literal(1),
  /** By the folder's key. */
  folders: z.record(z.string().regex(/^[0-9a-f]{32}$/), folderSchema),
});
export type Intake = z.infer<typeof intakeSchema>;

/** Files that should have given an image each: not second files of one, nor what lies beside, such as label tables. */
export const countedFiles = ({ files, quarantined }: FolderIntake): number =>
  files -
  (quarantined["dicom.duplicate"] ?? 0) -
  (quarantined["dicom.not-dicom"] ?? 0) -
  (quarantined["volume.unwanted"] ?? 0);

export function usedShare(folder: FolderIntake): number {
  const counted = countedFiles(folder);
  return counted === 0 ? 1 : folder.used / counted;
}

/** Not enough is used, and nobody has approved so little. */
export function needsApproval(folder: FolderIntake): boolean {
  return usedShare(folder) < Math.min(folder.minimumUsed, folder.approvedShare ?? 1);
}

/** @throws cache.corrupt */
export async function readIntake(cacheDir: string): Promise<Intake> {
  let text: string;
  try {
    text = await readFile(join(cacheDir, INTAKE_FILE), "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { version: 1, folders: {} };
    throw error;
  }
  try {
    return intakeSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ConsiliumError("cache.corrupt", { cause });
  }
}

/** Puts down what an ingest of the folder found; an approval that it was given before stays. */
export async function recordIntake(
  cacheDir: string,
  folderKey: string,
  found: Omit<FolderIntake, "approvedShare">,
): Promise<FolderIntake> {
  const { folders } = await readIntake(cacheDir);
  const folder = { ...found, approvedShare: folders[folderKey]?.approvedShare ?? null };
  await writeIntake(cacheDir, { version: 1, folders: { ...folders, [folderKey]: folder } });
  return folder;
}

export interface Approval {
  /** The folders that waited for it. */
  readonly folders: readonly FolderIntake[];
  /** Of the counts that were approved. */
  readonly sha256: Sha256;
}

/**
 * Approves the shares that the cache's folders have now. Fewer used files need another approval.
 * @param onRecord puts the approval on record before it counts
 */
export async function approveIntake(
  cacheDir: string,
  onRecord: (approval: Approval) => Promise<void> = () => Promise.resolve(),
): Promise<Approval> {
  const { folders } = await readIntake(cacheDir);
  const waiting = Object.entries(folders).filter(([, folder]) => needsApproval(folder));
  const approval = {
    folders: waiting.map(([, folder]) => folder),
    sha256: sha256(canonicalJson(waiting)),
  };
  if (waiting.length === 0) return approval;
  await onRecord(approval);
  const approved: Intake["folders"] = { ...folders };
  for (const [key, folder] of waiting) approved[key] = { ...folder, approvedShare: usedShare(folder) };
  await writeIntake(cacheDir, { version: 1, folders: approved });
  return approval;
}

/**
 * Training may begin on this cache.
 * @throws training.not-approved, cache.corrupt
 */
export async function assertApproved(cacheDir: string): Promise<void> {
  const { folders } = await readIntake(cacheDir);
  const waiting = Object.values(folders).find(needsApproval);
  if (waiting === undefined) return;
  const { used, minimumUsed } = waiting;
  throw new ConsiliumError("training.not-approved", {
    detail: `(${used} of ${countedFiles(waiting)} files are used, at least ${formatShare(minimumUsed)} are wanted)`,
  });
}

/** For example "80 %", rounded down, so that what is below a minimum looks below it. */
export const formatShare = (share: number): string => `${Math.floor(share * 1000) / 10} %`;

async function writeIntake(cacheDir: string, intake: Intake): Promise<void> {
  await writeFileAtomic(join(cacheDir, INTAKE_FILE), `${JSON.stringify(intake)}\n`);
}
