/**
 * What a site owes the coordinator, on disk before the first byte of it is sent, so that a retry or a restart sends the
 * same bytes again:
 *
 *     outbox/sealed.bin      the encrypted update
 *     outbox/moments.bin     the optimiser's moments after this training
 *     outbox/header.json     the signed header; written last: without it the rest does not count
 *     optimizer.bin          the moments after an earlier round, from which this round's training started
 *
 * Another attempt at a round starts from the same moments as the first, so new moments replace the old ones only when a
 * later round begins.
 */
import path from "node:path";
import { signedSchema, type Signed } from "@consilium/shared/crypto/signed";
import type { Sha256 } from "@consilium/shared/ids";
import {
  contributionHeaderSchema,
  type ContributionHeader,
  type RoundOpening,
} from "@consilium/shared/protocol/round";
import type { OptimizerState } from "../engine/types.ts";
import {
  hashFile,
  moveFile,
  openSource,
  readIfPresent,
  readTextIfPresent,
  removeFile,
  removeFolder,
  writeFileAtomic,
  type ByteSource,
} from "../home/files.ts";
import { decodeMoments, encodeMoments, type KeptMoments, type MomentsOrigin } from "./optimizer-file.ts";

export interface SealedContribution {
  readonly header: Signed<ContributionHeader>;
  readonly sealed: Uint8Array;
  /** Null where the plan resets them each round. */
  readonly optimizerState: OptimizerState | null;
}

export interface Outbox {
  /** The header of what is ready to be sent, if it is whole. */
  read(): Promise<Signed<ContributionHeader> | null>;
  /** Random access to the sealed bytes. */
  source(): Promise<ByteSource>;
  write(contribution: SealedContribution): Promise<void>;
  /** Keeps the moments of a training whose update lies elsewhere. */
  keepMoments(origin: MomentsOrigin, optimizerState: OptimizerState | null): Promise<void>;
  /** Drops what another round or attempt left, and returns the moments from before this round. */
  prepare(opening: RoundOpening): Promise<OptimizerState | null>;
  clear(): Promise<void>;
}

/** @param folder federation/ of the home */
export function outboxFolder(folder: string): Outbox {
  const outbox = path.join(folder, "outbox");
  const sealedFile = path.join(outbox, "sealed.bin");
  const headerFile = path.join(outbox, "header.json");
  const newMomentsFile = path.join(outbox, "moments.bin");
  const momentsFile = path.join(folder, "optimizer.bin");

  const keepMoments: Outbox["keepMoments"] = async (origin, optimizerState) => {
    if (optimizerState === null) await removeFile(newMomentsFile);
    else await writeFileAtomic(newMomentsFile, ...encodeMoments(origin, optimizerState));
  };

  return {
    keepMoments,
    async read() {
      const text = await readTextIfPresent(headerFile);
      if (text === null) return null;
      const header = parseHeader(text);
      if (header === null || (await hashFile(sealedFile)) !== header.body.sealedSha256) return null;
      return header;
    },
    source: () => openSource(sealedFile),
    async write({ header, sealed, optimizerState }) {
      await removeFile(headerFile);
      await keepMoments(header.body, optimizerState);
      await writeFileAtomic(sealedFile, sealed);
      await writeFileAtomic(headerFile, JSON.stringify(header));
    },
    async prepare({ round, planHash }) {
      await removeFile(headerFile);
      await removeFile(sealedFile);
      const fits = (moments: KeptMoments | null): moments is KeptMoments =>
        moments !== null && moments.planHash === planHash && moments.round < round;
      const newer = await readMoments(newMomentsFile);
      if (fits(newer)) {
        await moveFile(newMomentsFile, momentsFile);
        return newer.state;
      }
      const kept = await readMoments(momentsFile);
      return fits(kept) ? kept.state : null;
    },
    async clear() {
      await removeFolder(outbox);
      await removeFile(momentsFile);
    },
  };
}

/** What identifies an answer to a round. */
export interface RoundKey {
  readonly round: number;
  readonly attempt: number;
  readonly base: Sha256;
}

export const sameRound = (a: RoundKey, b: RoundKey): boolean =>
  a.round === b.round && a.attempt === b.attempt && a.base === b.base;

async function readMoments(file: string): Promise<KeptMoments | null> {
  const bytes = await readIfPresent(file);
  return bytes === null ? null : decodeMoments(bytes);
}

const signedHeaderSchema = signedSchema(contributionHeaderSchema);

function parseHeader(text: string): Signed<ContributionHeader> | null {
  try {
    const parsed = signedHeaderSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
