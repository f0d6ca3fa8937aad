/**
 * The site's state in a masked round, on disk before what follows from it is sent:
 *
 *     masking/state.bin    SHA-256 of what follows, then {version, ...state} as Node.js serialises structured data
 *     masking/frame.bin    the masked vector, as it is sent
 *
 * There is one state, the newest: each step replaces the one before, and with it the secrets that have served.
 */
import path from "node:path";
import { deserialize, serialize } from "node:v8";
import { sha256 } from "@consilium/shared/canonical";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import type { Attempt } from "@consilium/shared/secagg/attempt";
import type { Advertised } from "@consilium/shared/secagg/site/advertise";
import type { Voted } from "@consilium/shared/secagg/site/consistency";
import type { Contributed } from "@consilium/shared/secagg/site/contribute";
import type { Masking } from "@consilium/shared/secagg/site/mask";
import type { Shared } from "@consilium/shared/secagg/site/share";
import type { Released } from "@consilium/shared/secagg/site/unmask";
import {
  moveFile,
  openSource,
  readIfPresent,
  removeFile,
  removeFolder,
  writeFileAtomic,
  type ByteSource,
} from "../../home/files.ts";

/** Up to this attempt the site says nothing more: its state was damaged, or the federation is over. */
export interface Closed {
  readonly phase: "closed";
  readonly attempt: { readonly terms: Pick<Attempt["terms"], "round" | "attempt"> };
}

export type SiteState = Advertised | Shared | Masking | Contributed | Voted | Released | Closed;

export interface KeptMasking {
  readonly state: SiteState;
  /** What was said last; a retry says the same again. Null while a site has only listened. */
  readonly said: MaskingMessage | null;
  /** The newest round of which this site may have sent a vector: from then on others can open a sum with it. */
  readonly sentIn: number | null;
}

export interface MaskingFolder {
  /** Where a frame is written before its site stands for it. */
  readonly draftFile: string;
  /** Null if there is none. */
  read(): Promise<KeptMasking | "damaged" | null>;
  write(kept: KeptMasking): Promise<void>;
  /** The draft becomes the frame. */
  keepFrame(): Promise<void>;
  frame(): Promise<ByteSource>;
  removeFrame(): Promise<void>;
  clear(): Promise<void>;
}

const HASH_CHARACTERS = 64;
const VERSION = 4;

/** Without a version: as it was written before there was one, which is version 1 otherwise. */
type Versioned =
  | (KeptMasking & { readonly version: 3 | typeof VERSION })
  | (Omit<KeptMasking, "sentIn"> & { readonly version?: 1 | 2; readonly releasedIn: number | null });

/** The state as this program has it. What a later one wrote counts as damaged: its secrets are not guessed at. */
function migrated(written: Versioned): KeptMasking | "damaged" {
  const { version = 1 } = written;
  if (version > VERSION) return "damaged";
  const kept = withSent(written);
  const { attempt } = kept.state;
  // Before version 4 a dealing was signed in another way: whoever has dealt sits the attempt out.
  const hasDealt = version < 4 && kept.said?.step === "share";
  return hasDealt ? { ...kept, state: { phase: "closed", attempt }, said: null } : kept;
}

function withSent(written: Versioned): KeptMasking {
  if ("sentIn" in written) {
    const { state, said, sentIn } = written;
    return { state, said, sentIn };
  }
  const state = written.version === 2 ? written.state : withOneGroup(written.state);
  return { state, said: written.said, sentIn: sentBefore(state, written.releasedIn) };
}

/** Before version 3 only the release was on record: whoever has a vector may have sent it. */
function sentBefore({ phase, attempt }: SiteState, releasedIn: number | null): number | null {
  return phase === "contributed" || phase === "voted" ? attempt.terms.round : releasedIn;
}

/** Before version 2 every attempt had one sum, and no word for it. */
function withOneGroup(state: SiteState): SiteState {
  if (!("mesh" in state)) return state;
  const { attempt, mesh } = state;
  const groups = [{ sites: mesh.sites, threshold: attempt.terms.threshold }];
  return { ...state, mesh: { ...mesh, groups } };
}

/** @param folder federation/ of the home */
export function maskingFolder(folder: string): MaskingFolder {
  const masking = path.join(folder, "masking");
  const stateFile = path.join(masking, "state.bin");
  const frameFile = path.join(masking, "frame.bin");
  const draftFile = path.join(masking, "frame.tmp");
  return {
    draftFile,
    async read() {
      const bytes = await readIfPresent(stateFile);
      if (bytes === null) return null;
      const body = bytes.subarray(HASH_CHARACTERS);
      const hash = Buffer.from(bytes.subarray(0, HASH_CHARACTERS)).toString("latin1");
      // Only this program writes the file, and the hash says that it is what it wrote.
      return hash === sha256(body) ? migrated(deserialize(body) as Versioned) : "damaged";
    },
    async write(kept) {
      const body = serialize({ version: VERSION, ...kept } satisfies Versioned);
      await writeFileAtomic(stateFile, sha256(body), body);
    },
    keepFrame: () => moveFile(draftFile, frameFile),
    frame: () => openSource(frameFile),
    async removeFrame() {
      await removeFile(draftFile);
      await removeFile(frameFile);
    },
    clear: () => removeFolder(masking),
  };
}

/** Negative if `a` came before `b`. */
export function compareAttempts(
  a: Pick<Attempt["terms"], "round" | "attempt">,
  b: Pick<Attempt["terms"], "round" | "attempt">,
): number {
  return a.round - b.round || a.attempt - b.attempt;
}
