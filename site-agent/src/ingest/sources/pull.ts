/** Fetching from a PACS: ask what it has, then study by study what was not fetched before. */
import { ConsiliumError, toConsiliumError, type ErrorCode } from "@consilium/shared/errors";
import { pullKey } from "../../dataset/keys.ts";
import { backoffMs } from "../../federation/backoff.ts";
import type { DoneList } from "./done-list.ts";
import type { Spool } from "./spool.ts";

/** What is fetched in one go: a study or one of its series, by UID. */
export interface PullUnit {
  readonly study: string;
  readonly series: string | null;
}

/** Attributes of a study that a PACS may be asked by (PS3.4, C.6.2.1.2). A mistyped one would match everything. */
export const STUDY_ATTRIBUTES: readonly string[] = [
  "AccessionNumber",
  "InstitutionName",
  "InstitutionalDepartmentName",
  "IssuerOfPatientID",
  "NameOfPhysiciansReadingStudy",
  "PatientBirthDate",
  "PatientID",
  "PatientName",
  "PatientSex",
  "ReferringPhysicianName",
  "SOPClassesInStudy",
  "StudyDescription",
  "StudyID",
  "StudyInstanceUID",
  "StudyTime",
];

/** What a person asks for. */
export interface PullQuery {
  /** Defined terms such as CR; all if none is named. */
  readonly modalities: readonly string[];
  /** Study dates, YYYYMMDD, both ends included. */
  readonly from: string | null;
  readonly to: string | null;
  /** Other attributes by keyword (STUDY_ATTRIBUTES), with DICOM's wildcards. */
  readonly matching: Readonly<Record<string, string>>;
  readonly level: "study" | "series";
}

export interface PullSource {
  find(query: PullQuery, signal: AbortSignal): Promise<readonly PullUnit[]>;
  /**
   * All objects of the unit are in the spool when this resolves.
   * @throws pacs.*
   */
  retrieve(unit: PullUnit, spool: Spool, signal: AbortSignal): Promise<void>;
}

export interface PullPorts {
  readonly random: (length: number) => Uint8Array;
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
}

export interface PullOptions {
  readonly source: PullSource;
  readonly query: PullQuery;
  readonly secret: Uint8Array;
  readonly done: DoneList;
  /** Fetches also what was fetched before. */
  readonly again: boolean;
  readonly onProgress: (progress: PullProgress) => void;
  /** Something failed and will be tried again. */
  readonly onRetry: (retry: PullRetry) => void;
}

export interface PullProgress {
  /** Studies or series that the PACS has. */
  readonly total: number;
  /** Of those, dealt with. */
  readonly done: number;
  /** Fetched by an earlier run. */
  readonly skipped: number;
  readonly failed: number;
}

export interface PullRetry {
  readonly code: ErrorCode;
  /** The attempt that comes, of `of`. */
  readonly attempt: number;
  readonly of: number;
}

export interface PullSummary extends PullProgress {
  /** HMACs of what could not be fetched, and why. */
  readonly failures: readonly { readonly key: string; readonly code: ErrorCode }[];
}

const ATTEMPTS = 4;
/** With these the next study would fare no better. */
const HOPELESS: readonly ErrorCode[] = [
  "pacs.unreachable",
  "pacs.refused",
  "pacs.untrusted",
  "config.invalid",
  "disk.full",
  "disk.denied",
];

/**
 * Fetches everything that matches. One study that cannot be fetched does not stop the others.
 * @throws pacs.unreachable, pacs.refused, pacs.untrusted; the signal's reason
 */
export async function pull(
  options: PullOptions,
  spool: Spool,
  ports: PullPorts,
  signal: AbortSignal,
): Promise<PullSummary> {
  const { source, query, secret, done, again, onProgress, onRetry } = options;
  const units = await persistently(() => source.find(query, signal), onRetry, ports, signal);
  const failures: { key: string; code: ErrorCode }[] = [];
  let skipped = 0;
  const progress = (dealtWith: number): PullProgress => ({
    total: units.length,
    done: dealtWith,
    skipped,
    failed: failures.length,
  });
  onProgress(progress(0));
  for (const [i, unit] of units.entries()) {
    signal.throwIfAborted();
    const key = pullKey(secret, unit.study, ...(unit.series === null ? [] : [unit.series]));
    if (!again && done.has(key)) {
      skipped += 1;
    } else {
      const code = await fetchUnit(options, unit, spool, ports, signal);
      if (code === null) await done.add(key);
      else failures.push({ key, code });
    }
    onProgress(progress(i + 1));
  }
  return { ...progress(units.length), failures };
}

/** @returns why it could not be fetched, or null */
async function fetchUnit(
  { source, onRetry }: PullOptions,
  unit: PullUnit,
  spool: Spool,
  ports: PullPorts,
  signal: AbortSignal,
): Promise<ErrorCode | null> {
  try {
    const attempt = async (): Promise<void> => {
      await spool.room(signal);
      await source.retrieve(unit, spool, signal);
    };
    await persistently(attempt, onRetry, ports, signal);
    return null;
  } catch (error) {
    signal.throwIfAborted();
    const { code } = toConsiliumError(error);
    if (HOPELESS.includes(code)) throw error;
    return code;
  }
}

/** Tries again, with pauses that grow, what may succeed later. */
async function persistently<T>(
  work: () => Promise<T>,
  onRetry: PullOptions["onRetry"],
  ports: PullPorts,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const isWorthIt = error instanceof ConsiliumError && error.retry && error.code !== "disk.full";
      if (!isWorthIt || failures >= ATTEMPTS) throw error;
      onRetry({ code: error.code, attempt: failures + 1, of: ATTEMPTS });
      await ports.sleep(backoffMs(failures, ports.random(1)[0] ?? 0), signal);
      signal.throwIfAborted();
    }
  }
}
