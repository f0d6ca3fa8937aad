/** A folder of DICOM files becomes an image cache: files stream through reading threads, one commit at a time. */
import { resolve } from "node:path";
import { ConsiliumError, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { CacheWriter } from "../dataset/cache-writer.ts";
import { MINIMUM_USED, needsApproval, recordIntake, usedShare } from "../dataset/intake.ts";
import { fileKey } from "../dataset/keys.ts";
import { walkFiles } from "./folder.ts";
import { packKeys } from "./known-keys.ts";
import { addLabels, checkLabels, type LabelProgress, type LabelSummary } from "./labels/join.ts";
import { ManifestWriter } from "./manifest.ts";
import type { ReadResult } from "./read-image.ts";
import { ReadPool } from "./read-pool.ts";

export interface IngestOptions {
  readonly folder: string;
  readonly cacheDir: string;
  /** The site's HMAC secret. */
  readonly secret: Uint8Array;
  /** Side of the cached squares. */
  readonly sizePx: number;
  /** Files and folders of labels, in every form that labels/ reads. */
  readonly labels?: readonly string[];
  readonly onLabels?: (progress: LabelProgress) => void;
  /** Reading threads. */
  readonly threads: number;
  readonly onProgress?: (progress: IngestProgress) => void;
  /** Ends the ingest between two files; what was read is kept. */
  readonly signal?: AbortSignal;
  /** From when a thread begins with a file until the file is given up. */
  readonly timeoutMs?: number;
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
  readonly quarantined: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly labels: LabelSummary;
  /** Of the files, second ones of the same image left out. */
  readonly usedShare: number;
  readonly minimumUsed: number;
  /** Training waits until a person has approved so small a share. */
  readonly needsApproval: boolean;
}

const DEFAULT_TIMEOUT_MS = 20_000;
/** Images between commits: what a crash costs at most. */
const COMMIT_EVERY = 512;
/** Files read ahead of the one whose turn it is, per thread. */
const AHEAD_PER_THREAD = 16;

/**
 * Reads every file below a folder into the cache. Files that are no usable image are counted by reason and listed in the
 * manifest. Calling it again goes on where it stopped and reads no image twice. Images enter the cache in the folder's
 * order, whatever the number of threads.
 * @throws ingest.folder-missing, ingest.no-dicom, labels.invalid, labels.unmatched, config.invalid (another image size),
 * disk.full; the signal's reason
 */
export async function ingestFolder(options: IngestOptions): Promise<IngestSummary> {
  const { folder, cacheDir, secret, signal, labels: paths = [], onLabels } = options;
  const total = await countFiles(options);
  // A wrong label file is found now and not after an hour of decoding.
  await checkLabels(paths);
  try {
    const writer = await CacheWriter.open(cacheDir, options.sizePx);
    try {
      const tally = await ingestInto(writer, options, total);
      if (tally.used === 0) throw noDicom(tally.quarantined);
      const counts = {
        files: tally.files,
        used: tally.used,
        quarantined: Object.fromEntries(tally.quarantined),
      };
      const minimumUsed = options.minimumUsed ?? MINIMUM_USED;
      const intake = await recordIntake(cacheDir, folderKey(options), { ...counts, minimumUsed });
      const labels = await addLabels({
        paths,
        cacheDir,
        secret,
        imagesFolder: folder,
        ...(onLabels === undefined ? {} : { onProgress: onLabels }),
        ...(signal === undefined ? {} : { signal }),
      });
      return {
        ...counts,
        labels,
        usedShare: usedShare(intake),
        minimumUsed,
        needsApproval: needsApproval(intake),
      };
    } finally {
      await writer.close();
    }
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
  readonly quarantined: Map<ErrorCode, number>;
}

async function ingestInto(writer: CacheWriter, options: IngestOptions, total: number): Promise<Tally> {
  const { folder, cacheDir, secret, sizePx, threads, signal, onProgress } = options;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const tally: Tally = { files: 0, used: 0, quarantined: new Map() };
  /** Images that this ingest has met, to tell a second file of one image from a second ingest of it. */
  const met = new Set<string>();
  const manifest = await ManifestWriter.open(cacheDir);
  const pool = new ReadPool({ threads, timeoutMs, secret, sizePx, known: packKeys(writer.keys) });

  const take = async (result: ReadResult): Promise<void> => {
    const code = verdict(result, met);
    tally.files += 1;
    if (code === null) {
      if (result.outcome === "read") await writer.append(result.record, result.pixels);
      tally.used += 1;
      await manifest.used(result.key);
    } else {
      tally.quarantined.set(code, (tally.quarantined.get(code) ?? 0) + 1);
      await manifest.quarantined(result.key, code);
    }
    if (tally.files % COMMIT_EVERY === 0) await writer.commit();
    onProgress?.({ files: tally.files, total, used: tally.used, quarantined: tally.files - tally.used });
  };

  let finished = false;
  try {
    // Results are taken in the folder's order; reading runs ahead of it by a bounded number of files.
    const ahead: Promise<ReadResult>[] = [];
    for await (const file of walkFiles(folder)) {
      signal?.throwIfAborted();
      const reading = pool.read(file);
      // Whoever awaits it meets the failure; until then it is not an unhandled one.
      reading.catch(() => undefined);
      ahead.push(reading);
      if (ahead.length >= threads * AHEAD_PER_THREAD) await takeNext(ahead, take);
    }
    while (ahead.length > 0) {
      signal?.throwIfAborted();
      await takeNext(ahead, take);
    }
    await manifest.finish();
    finished = true;
  } finally {
    await pool.close();
    if (!finished) await manifest.abandon();
    await writer.commit();
  }
  return tally;
}

async function takeNext(
  ahead: Promise<ReadResult>[],
  take: (result: ReadResult) => Promise<void>,
): Promise<void> {
  const next = await ahead.shift();
  if (next !== undefined) await take(next);
}

/** Why the file is set aside, or null if its image is used. */
function verdict(result: ReadResult, met: Set<string>): ErrorCode | null {
  if (result.outcome === "quarantined") return result.code;
  if (met.has(result.key)) return "dicom.duplicate";
  met.add(result.key);
  return null;
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

function noDicom(quarantined: ReadonlyMap<ErrorCode, number>): ConsiliumError {
  const counts = [...quarantined].map(([code, count]) => `${code}: ${count}`);
  return new ConsiliumError(
    "ingest.no-dicom",
    counts.length === 0 ? {} : { detail: `(${counts.join(", ")})` },
  );
}
