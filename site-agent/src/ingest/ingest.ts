/** A folder of DICOM files becomes an image cache: files stream through reading threads, one commit at a time. */
import { resolve } from "node:path";
import { ConsiliumError, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { needsApproval, usedShare, type FolderIntake } from "../dataset/intake.ts";
import { fileKey } from "../dataset/keys.ts";
import { CacheIntake, type CacheIntakeOptions, type IntakeSource } from "./cache-intake.ts";
import { walkFiles } from "./folder.ts";
import { addLabels, checkLabels, type LabelProgress, type LabelSummary } from "./labels/join.ts";
import type { Tally } from "./tally.ts";

export interface IngestOptions extends CacheIntakeOptions {
  readonly folder: string;
  /** Files and folders of labels, in every form that labels/ reads. */
  readonly labels?: readonly string[];
  readonly onLabels?: (progress: LabelProgress) => void;
  readonly onProgress?: (progress: IngestProgress) => void;
  /** Ends the ingest between two files; what was read is kept. */
  readonly signal?: AbortSignal;
}

export interface IngestProgress {
  readonly files: number;
  readonly total: number;
  readonly used: number;
  readonly quarantined: number;
}

export interface IntakeSummary {
  readonly files: number;
  /** In the cache now, whether read by this ingest or by an earlier one. */
  readonly used: number;
  /** Under a plan for volumes: what the used files became. */
  readonly volumes?: number;
  readonly quarantined: Readonly<Partial<Record<ErrorCode, number>>>;
  /** Of the files, second ones of the same image left out. */
  readonly usedShare: number;
  readonly minimumUsed: number;
  /** Training waits until a person has approved so small a share. */
  readonly needsApproval: boolean;
}

export interface IngestSummary extends IntakeSummary {
  readonly labels: LabelSummary;
}

/**
 * Reads every file below a folder into the cache. Files that are no usable image are counted by reason and listed in the
 * manifest. Calling it again goes on where it stopped and reads no image twice. Images enter the cache in the folder's
 * order, whatever the number of threads.
 * @throws ingest.folder-missing, ingest.no-dicom, labels.invalid, labels.unmatched, config.invalid (another image size),
 * cache.wrong-profile, disk.full; the signal's reason
 */
export async function ingestFolder(options: IngestOptions): Promise<IngestSummary> {
  const { folder, cacheDir, secret, signal, onProgress, labels: paths = [], onLabels } = options;
  const total = await countFiles(options);
  // A wrong label file is found now and not after an hour of decoding.
  await checkLabels(paths);
  try {
    const intake = await CacheIntake.open(options, folderSource(options));
    const { tally } = intake;
    try {
      const onTaken = (): void => onProgress?.(progressOf(tally, total));
      await intake.take(walkFiles(folder), { signal, onTaken });
      await intake.save();
      if (tally.used === 0) throw noDicom(tally.quarantined);
      const counts = await intake.record();
      const labels = await addLabels({
        paths,
        cacheDir,
        secret,
        imagesFolder: folder,
        ...(options.profile === undefined ? {} : { profile: options.profile }),
        ...(onLabels === undefined ? {} : { onProgress: onLabels }),
        ...(signal === undefined ? {} : { signal }),
      });
      const volumes = intake.volumes.size;
      return { ...summaryOf(counts), ...(volumes > 0 && { volumes }), labels };
    } finally {
      await intake.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw toConsiliumError(error);
  }
}

/** The same folder ingested again replaces what was put down of it. */
export const folderSource = ({ folder, secret }: Pick<IngestOptions, "folder" | "secret">): IntakeSource => ({
  kind: "folder",
  key: fileKey(secret, resolve(folder)),
});

export const progressOf = ({ files, used }: Tally, total: number): IngestProgress => ({
  files,
  total,
  used,
  quarantined: files - used,
});

/** What a person is told of a source's counts. */
export function summaryOf(intake: FolderIntake): IntakeSummary {
  const { files, used, quarantined, minimumUsed } = intake;
  return {
    files,
    used,
    quarantined,
    usedShare: usedShare(intake),
    minimumUsed,
    needsApproval: needsApproval(intake),
  };
}

async function countFiles({ folder, signal }: IngestOptions): Promise<number> {
  let total = 0;
  const files = walkFiles(folder);
  while ((await files.next()).done !== true) {
    signal?.throwIfAborted();
    total += 1;
  }
  return total;
}

function noDicom(quarantined: IntakeSummary["quarantined"]): ConsiliumError {
  const counts = Object.entries(quarantined).map(([code, count]) => `${code}: ${count}`);
  return new ConsiliumError(
    "ingest.no-dicom",
    counts.length === 0 ? {} : { detail: `(${counts.join(", ")})` },
  );
}
