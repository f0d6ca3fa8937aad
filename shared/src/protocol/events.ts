/**
 * socket.io events. Two connections per site, so that bulk bytes never delay a heartbeat:
 * namespace `/control` for everything small, namespace `/bulk` for uploads.
 * Both carry `authorization: Bearer SESSION`, which is checked before anything is decoded.
 */
import { z } from "zod";
import { signedSchema, type Signed } from "../crypto/signed.ts";
import { attemptSchema, roundSchema, sha256Schema, uploadIdSchema, type UploadId } from "../ids.ts";
import { signedMaskedSchema } from "../secagg/messages.ts";
import type { MaskingAnswer, MaskingQuery, MaskingShown, SitOut } from "./masking.ts";
import {
  contributionHeaderSchema,
  maskingStepSchema,
  roundOpeningSchema,
  sitePhaseSchema,
  type CheckpointRecord,
  type EarlyEnd,
  type RoundOpening,
} from "./round.ts";
import type { CohortSum, DistancesMessage, FingerprintMessage, MaskedCohort } from "./fingerprint.ts";
import type { ErrorBody } from "./http.ts";

export const CONTROL_NAMESPACE = "/control";
export const BULK_NAMESPACE = "/bulk";

export type Reply<T extends object = object> =
  ({ readonly ok: true } & T) | { readonly ok: false; readonly error: ErrorBody };
export type Ack<T extends object = object> = (reply: Reply<T>) => void;

// Control, site to coordinator

/** Announces a site; only its fingerprint goes before, if the plan does not mask. */
export const helloSchema = z.strictObject({
  protocol: z.int(),
  software: z.string().max(60),
  planHash: sha256Schema,
  /** The initial model as this site derives it from the plan: equal at all sites, or they run different code. */
  genesis: sha256Schema,
  /** Null where the plan masks: a site's size is its own affair then. */
  examples: z.int().min(0).nullable(),
});
export type Hello = z.infer<typeof helloSchema>;

/** Advisory; the last one wins. */
export const progressSchema = z.strictObject({
  round: roundSchema,
  attempt: attemptSchema,
  phase: sitePhaseSchema,
  /** Steps when training, or percent of them where updates are masked; bytes when uploading or fetching. */
  done: z.number().min(0),
  total: z.number().min(0),
  /** Null where the plan masks. */
  loss: z.number().nullable(),
});
export type Progress = z.infer<typeof progressSchema>;

/** Where a masked round stands, as told to one site. */
export const maskingStandingSchema = z.strictObject({
  step: maskingStepSchema,
  /** Whether the step waits for this site: it is in it still, and has not answered. */
  wanted: z.boolean(),
});
export type MaskingStanding = z.infer<typeof maskingStandingSchema>;

/** Where the federation stands, as told to one site. */
export type FederationPosition =
  | { readonly phase: "waiting"; readonly genesisWanted: boolean }
  | {
      readonly phase: "open";
      readonly opening: Signed<RoundOpening>;
      readonly remainingMs: number;
      readonly contributed: boolean;
      /** Of a masked round. */
      readonly masking?: MaskingStanding | undefined;
    }
  | { readonly phase: "aggregating"; readonly round: number }
  | {
      readonly phase: "finished";
      readonly checkpoint: Signed<CheckpointRecord>;
      /** Of one that ended before its last round. */
      readonly stopped?: EarlyEnd | undefined;
    };

export const signedRoundOpeningSchema = signedSchema(roundOpeningSchema);

export interface ControlToCoordinator {
  /** Before `hello`, in a plain federation: what the site's images are like. The newest one counts. */
  fingerprint: (message: FingerprintMessage, ack: Ack) => void;
  /** What all sites' images together are like. */
  cohort: (ack: Ack<{ cohort: CohortSum | MaskedCohort }>) => void;
  /** How far the site's images are from that, where the plan masks. The newest one counts. */
  distances: (message: Signed<DistancesMessage>, ack: Ack) => void;
  hello: (message: Hello, ack: Ack<{ position: FederationPosition }>) => void;
  /** Sockets hold no state: whoever reconnects, or is in doubt, asks. */
  position: (ack: Ack<{ position: FederationPosition }>) => void;
  progress: (message: Progress) => void;
  /** What the coordinator shows this site in the current step of a masked round. */
  "masking.show": (message: MaskingQuery, ack: Ack<{ shown: MaskingShown }>) => void;
  /** This site's message of a step. Idempotent; acknowledged once it is durable. */
  "masking.answer": (message: MaskingAnswer, ack: Ack<{ outcome: UploadOutcome }>) => void;
  /** This site takes no further part in the attempt, and why. Idempotent. */
  "masking.sit-out": (message: SitOut, ack: Ack) => void;
}

export interface ControlToSite {
  /** Pushed on every change; the same value that `position` answers with. */
  position: (position: FederationPosition) => void;
}

// Bulk, site to coordinator

export const MAX_UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024;

const uploadedObjectSchema = z.discriminatedUnion("kind", [
  /** The sealed update; begun with the header that will make it a contribution. */
  z.strictObject({ kind: z.literal("contribution"), header: signedSchema(contributionHeaderSchema) }),
  /** A masked vector (secagg/frame.ts), as the site stands for it. */
  z.strictObject({
    kind: z.literal("masked"),
    round: roundSchema,
    attempt: attemptSchema,
    masked: signedMaskedSchema,
  }),
  /**
   * The initial model: a checkpoint frame, sealed like an update with the context
   * {kind: "genesis", federation, round: 0, attempt: 0, site}, so that nothing at all leaves a site in plain.
   */
  z.strictObject({
    kind: z.literal("genesis"),
    /** Of the checkpoint frame: what `hello.genesis` announced. */
    sha256: sha256Schema,
    sealedSha256: sha256Schema,
    sealedBytes: z.int().min(1),
  }),
]);

export const uploadBeginSchema = z.strictObject({
  object: uploadedObjectSchema,
  /** All chunks but the last have this length. */
  chunkBytes: z.int().min(1024).max(MAX_UPLOAD_CHUNK_BYTES),
});
export type UploadBegin = z.infer<typeof uploadBeginSchema>;

export const uploadChunkSchema = z.strictObject({
  upload: uploadIdSchema,
  seq: z.int().min(0),
  sha256: sha256Schema,
});
export type UploadChunk = z.infer<typeof uploadChunkSchema>;

export const uploadCommitSchema = z.strictObject({ upload: uploadIdSchema });
export type UploadCommit = z.infer<typeof uploadCommitSchema>;

/** What became of an upload. `stale` and `duplicate` are ordinary outcomes, not errors. */
export type UploadOutcome = "accepted" | "duplicate" | "stale";

export interface BulkToCoordinator {
  /**
   * Starts or resumes. `have` is the bitmap of chunks that are already safe on the coordinator's disk, bit i of byte
   * floor(i / 8), least significant first, as base64url. A finished object answers `outcome` at once.
   */
  "upload.begin": (
    message: UploadBegin,
    ack: Ack<{ upload: UploadId; chunkBytes: number; have: string } | { outcome: UploadOutcome }>,
  ) => void;
  /** Idempotent; acknowledged once the bytes are on disk. */
  "upload.chunk": (message: UploadChunk, bytes: Uint8Array, ack: Ack) => void;
  /** Hash and signature are checked, bytes and row are durable, then it is acknowledged. */
  "upload.commit": (message: UploadCommit, ack: Ack<{ outcome: UploadOutcome }>) => void;
}
export type BulkToSite = Record<string, never>;
