/**
 * What a site owes the coordinator, on disk before the first byte of it is sent, so that a retry or a restart sends the
 * same bytes again:
 *
 *     outbox/sealed.bin      the encrypted update
 *     outbox/moments.bin     what this training leaves for the next: the optimiser's moments, weights that stay at the site
 *     outbox/header.json     the signed header; written last: without it the rest does not count
 *     optimizer.bin          the same of an earlier round, from which this round's training started
 *     head.bin               of a federation that has ended, the weights that stayed at the site
 *
 * Another attempt at a round starts from the same state as the first, so a new one replaces the old one only when a later
 * round begins.
 */
import path from "node:path";
import { signedSchema, type Signed } from "@consilium/shared/crypto/signed";
import type { Sha256 } from "@consilium/shared/ids";
import {
  contributionHeaderSchema,
  type ContributionHeader,
  type RoundOpening,
} from "@consilium/shared/protocol/round";
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
import {
  decodeState,
  encodeState,
  type KeptState,
  type StateOrigin,
  type TrainingState,
} from "./optimizer-file.ts";

export interface SealedContribution {
  readonly header: Signed<ContributionHeader>;
  readonly sealed: Uint8Array;
  /** What the training leaves for the next. */
  readonly state: TrainingState;
}

export interface Outbox {
  /** The header of what is ready to be sent, if it is whole. */
  read(): Promise<Signed<ContributionHeader> | null>;
  /** Random access to the sealed bytes. */
  source(): Promise<ByteSource>;
  write(contribution: SealedContribution): Promise<void>;
  /** Keeps what is left of a training whose update lies elsewhere. */
  keep(origin: StateOrigin, state: TrainingState): Promise<void>;
  /** Drops what another round or attempt left, and returns the state from before this round. */
  prepare(opening: RoundOpening): Promise<TrainingState | null>;
  /** After the last round: nothing is left but weights that stay at the site. */
  clear(): Promise<void>;
}

/** @param folder federation/ of the home */
export function outboxFolder(folder: string): Outbox {
  const outbox = path.join(folder, "outbox");
  const sealedFile = path.join(outbox, "sealed.bin");
  const headerFile = path.join(outbox, "header.json");
  const newMomentsFile = path.join(outbox, "moments.bin");
  const momentsFile = path.join(folder, "optimizer.bin");

  const keep: Outbox["keep"] = async (origin, state) => {
    const parts = encodeState(origin, state);
    if (parts === null) await removeFile(newMomentsFile);
    else await writeFileAtomic(newMomentsFile, ...parts);
  };

  return {
    keep,
    async read() {
      const text = await readTextIfPresent(headerFile);
      if (text === null) return null;
      const header = parseHeader(text);
      if (header === null || (await hashFile(sealedFile)) !== header.body.sealedSha256) return null;
      return header;
    },
    source: () => openSource(sealedFile),
    async write({ header, sealed, state }) {
      await removeFile(headerFile);
      await keep(header.body, state);
      await writeFileAtomic(sealedFile, sealed);
      await writeFileAtomic(headerFile, JSON.stringify(header));
    },
    async prepare({ round, planHash }) {
      await removeFile(headerFile);
      await removeFile(sealedFile);
      const fits = (found: KeptState | null): found is KeptState =>
        found !== null && found.planHash === planHash && found.round < round;
      const newer = await readState(newMomentsFile);
      if (fits(newer)) {
        await moveFile(newMomentsFile, momentsFile);
        return newer.state;
      }
      const older = await readState(momentsFile);
      return fits(older) ? older.state : null;
    },
    async clear() {
      const newest = (await readState(newMomentsFile)) ?? (await readState(momentsFile));
      if (newest !== null && newest.state.kept !== null) {
        const parts = encodeState(newest, { moments: null, kept: newest.state.kept });
        await writeFileAtomic(headFile(folder), ...(parts ?? []));
      }
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

/** The weights that stayed at the site when the federation of this plan ended; null where it has none. */
export async function readHead(folder: string, planHash: Sha256): Promise<Float32Array | null> {
  const found = await readState(headFile(folder));
  return found !== null && found.planHash === planHash ? found.state.kept : null;
}

const headFile = (folder: string): string => path.join(folder, "head.bin");

async function readState(file: string): Promise<KeptState | null> {
  const bytes = await readIfPresent(file);
  return bytes === null ? null : decodeState(bytes);
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
