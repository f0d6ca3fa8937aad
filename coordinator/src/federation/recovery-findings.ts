/** What a start found of an earlier run, and what it did about it, for whoever reads the log of a night. */
import type { Attempt, Round, SiteId } from "@consilium/shared/ids";
import type { Blobs } from "../blobs/blobs.ts";
import { isIntact } from "../blobs/hashed.ts";
import type { RecoveredFederation } from "./recovery.ts";
import type { Position } from "./types.ts";

/** An acknowledged contribution that the disk has lost or changed: it is asked for again while its round is open. */
export interface LostContribution {
  readonly round: Round;
  readonly attempt: Attempt;
  readonly site: SiteId;
  readonly reason: "hash.mismatch";
}

export interface RecoveryFindings {
  readonly phase: Position["phase"];
  /** Null once the federation has finished. */
  readonly round: number | null;
  readonly attempt: number | null;
  readonly checkpoints: number;
  /** Contributions of the round under way, with those that are lost. */
  readonly contributions: number;
  readonly cohort: number;
  readonly lost: readonly LostContribution[];
}

export const NOTHING_FOUND: RecoveryFindings = {
  phase: "waiting",
  round: null,
  attempt: null,
  checkpoints: 0,
  contributions: 0,
  cohort: 0,
  lost: [],
};

/** Looks through the bytes of every contribution of the round under way. */
export async function findings(
  blobs: Blobs,
  { state: { position }, ledger }: Pick<RecoveredFederation, "state" | "ledger">,
): Promise<RecoveryFindings> {
  const checkpoints = ledger.checkpoints.length;
  const { phase } = position;
  if (phase === "finished") return { ...NOTHING_FOUND, phase, checkpoints };
  const { round, attempt } = position;
  if (phase === "waiting" || phase === "paused")
    return { ...NOTHING_FOUND, phase, round, attempt, checkpoints };
  const { contributions, cohort } = position;
  const lost: LostContribution[] = [];
  for (const { site, sealedSha256, sealedBytes } of contributions) {
    if (await isIntact(blobs, sealedSha256, sealedBytes)) continue;
    lost.push({ round, attempt, site, reason: "hash.mismatch" });
  }
  return {
    phase,
    round,
    attempt,
    checkpoints,
    contributions: contributions.length,
    cohort: cohort.length,
    lost,
  };
}

/** What else lay in the home folder. */
export interface RecoveredStorage {
  readonly uploadsKept: number;
  readonly uploadsRemoved: number;
  /** Objects and staged bytes without a row. */
  readonly orphansRemoved: number;
}

/** One line; null if there was nothing to recover. */
export function describeRecovery(
  federation: string,
  { phase, round, attempt, checkpoints, contributions, cohort, lost }: RecoveryFindings,
  { uploadsKept, uploadsRemoved, orphansRemoved }: RecoveredStorage,
): string | null {
  if (checkpoints === 0 && uploadsKept === 0) return null;
  const place =
    round === null ? "" : ` at round ${round}${(attempt ?? 1) > 1 ? `, attempt ${attempt ?? 1}` : ""}`;
  const parts = [`Recovered ${federation}${place}: ${phase}`];
  if (cohort > 0) parts.push(`${contributions - lost.length} of ${cohort} updates are here`);
  if (lost.length > 0) {
    parts.push(`damaged on the disk and asked for again: ${lost.map(({ site }) => site).join(", ")}`);
  }
  if (uploadsKept > 0) parts.push(`${uploadsKept} unfinished uploads kept`);
  if (uploadsRemoved + orphansRemoved > 0) {
    parts.push(`cleared away: ${uploadsRemoved} spent uploads, ${orphansRemoved} objects without a row`);
  }
  return `${parts.join("; ")}.`;
}
