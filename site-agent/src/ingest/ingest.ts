/** A folder of DICOM files becomes an image cache: files stream through reading threads, one commit at a time. */
import { resolve } from "node:path";
import { ConsiliumError, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { MINIMUM_USED, needsApproval, recordIntake, usedShare } from "../dataset/intake.ts";
import { fileKey } from "../dataset/keys.ts";
import { readLabels, writeLabels } from "../dataset/labels.ts";
import { CacheFiller, type FillerOptions } from "./cache-filler.ts";
import { walkFiles } from "./folder.ts";
import { joinLabels, readLabelFile, type LabelCounts, type LabelFile } from "./labels.ts";
import { ManifestWriter } from "./manifest.ts";

export interface IngestOptions extends FillerOptions {
  readonly folder: string;
  /** CSV with sop_instance_uid and label. */
  readonly labelsFile?: string;
  readonly onProgress?: (progress: IngestProgress) => void;
  /** Ends the ingest between two files; what was read is kept. */
  readonly signal?: AbortSignal;
  /** Share of the files that has to be used, or training waits for an approval. */
  readonly minimumUsed?: number;
}

export interface IngestProgress {
  readonly files: number;
  readonly total: number;
  readonly used: number;
  readonly quarantined: number;
}

export interface IngestSummary {
  readonly files: number;
  /** In the cache now, whether read by this ingest or by an earlier one. */
  readonly used: number;
  /** Under a plan for volumes: what the used files became. */
  readonly volumes?: number;
  readonly quarantined: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly labels: LabelCounts;
  /** Of the files, second ones of the same image left out. */
  readonly usedShare: number;
  readonly minimumUsed: number;
  /** Training waits until a person has approved so small a share. */
  readonly needsApproval: boolean;
}

/**
 * Reads every file below a folder into the cache. Files that are no usable image are counted by reason and listed in the
 * manifest. Calling it again goes on where it stopped and reads no image twice. Images enter the cache in the folder's
 * order, whatever the number of threads.
 * @throws ingest.folder-missing, ingest.no-dicom, labels.invalid, labels.unmatched, config.invalid (another image size),
 * cache.wrong-profile, disk.full; the signal's reason
 */
export async function ingestFolder(options: IngestOptions): Promise<IngestSummary> {
  const { cacheDir, secret, labelsFile } = options;
  const total = await countFiles(options);
  // A wrong label file is found now and not after an hour of decoding.
  const labelFile = labelsFile === undefined ? null : await readLabelFile(labelsFile, secret);
  try {
    const { tally, keys } = await fillFrom(options, total);
    if (tally.used === 0) throw noDicom(tally.quarantined);
    const counts = {
      files: tally.files,
      used: tally.used,
      quarantined: Object.fromEntries(tally.quarantined),
    };
    const minimumUsed = options.minimumUsed ?? MINIMUM_USED;
    const intake = await recordIntake(cacheDir, folderKey(options), { ...counts, minimumUsed });
    const labels = await applyLabels(cacheDir, labelFile, keys);
    return {
      ...counts,
      ...(tally.volumes.size > 0 && { volumes: tally.volumes.size }),
      labels,
      usedShare: usedShare(intake),
      minimumUsed,
      needsApproval: needsApproval(intake),
    };
  } catch (error) {
    options.signal?.throwIfAborted();
    throw toConsiliumError(error);
  }
}

/** The same folder ingested again replaces what was put down of it. */
const folderKey = ({ folder, secret }: IngestOptions): string => fileKey(secret, resolve(folder));

interface Tally {
  files: number;
  used: number;
  /** Keys. */
  readonly volumes: Set<string>;
  readonly quarantined: Map<ErrorCode, number>;
}

async function fillFrom(
  options: IngestOptions,
  total: number,
): Promise<{ readonly tally: Tally; readonly keys: ReadonlySet<string> }> {
  const { folder, cacheDir, signal, onProgress } = options;
  const tally: Tally = { files: 0, used: 0, volumes: new Set(), quarantined: new Map() };
  /** Images that this ingest has met, to tell a second file of one image from a second ingest of it. */
  const met = new Set<string>();
  const filler = await CacheFiller.open(options, async ({ key, code: reason, volume }) => {
    const code = reason ?? (met.has(key) ? "dicom.duplicate" : null);
    tally.files += 1;
    if (code === null) {
      met.add(key);
      tally.used += 1;
      if (volume !== undefined) tally.volumes.add(volume);
      await manifest.used(key);
    } else {
      tally.quarantined.set(code, (tally.quarantined.get(code) ?? 0) + 1);
      await manifest.quarantined(key, code);
    }
    onProgress?.({ files: tally.files, total, used: tally.used, quarantined: tally.files - tally.used });
  });
  const manifest = await ManifestWriter.open(cacheDir);
  let finished = false;
  try {
    for await (const file of walkFiles(folder)) {
      signal?.throwIfAborted();
      await filler.add(file);
    }
    await filler.flush(signal);
    await manifest.finish();
    finished = true;
  } finally {
    if (!finished) await manifest.abandon();
    // What was read so far is kept, whatever ended this ingest.
    await filler.commit();
    await filler.close();
  }
  return { tally, keys: filler.keys };
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

/** @throws labels.unmatched if the file has labels and none of them is for an image of the cache */
async function applyLabels(
  cacheDir: string,
  file: LabelFile | null,
  cached: ReadonlySet<string>,
): Promise<LabelCounts> {
  if (file === null) return { matched: 0, unmatched: 0, duplicates: 0, conflicts: 0 };
  const { labels, counts } = joinLabels(await readLabels(cacheDir), file, cached);
  if (counts.matched === 0 && counts.unmatched > 0) throw new ConsiliumError("labels.unmatched");
  await writeLabels(cacheDir, labels);
  return counts;
}

function noDicom(quarantined: ReadonlyMap<ErrorCode, number>): ConsiliumError {
  const counts = [...quarantined].map(([code, count]) => `${code}: ${count}`);
  return new ConsiliumError(
    "ingest.no-dicom",
    counts.length === 0 ? {} : { detail: `(${counts.join(", ")})` },
  );
}
