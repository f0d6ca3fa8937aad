/**
 * What the coordinator keeps of its federations. Rows only; bytes are in the blob store. Every method that writes is one
 * transaction, durable when its promise resolves.
 */
import type { PublicIdentity, Signed } from "@consilium/shared/crypto/signed";
import type { Attempt, FederationId, Round, Sha256, SiteId, UploadId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { UploadBegin } from "@consilium/shared/protocol/events";
import type {
  CohortRecord,
  DistancesMessage,
  FingerprintMessage,
} from "@consilium/shared/protocol/fingerprint";
import type {
  CheckpointRecord,
  ContributionHeader,
  MaskingStep,
  RoundTotals,
} from "@consilium/shared/protocol/round";
import type { RosterChange, SignedEndorsement } from "@consilium/shared/roster/roster";
import type { SignedMasked } from "@consilium/shared/secagg/messages";
import type { AuditEvent, AuditLine } from "@consilium/shared/audit/chain";
import type { HeldMessage } from "../federation/masking-steps.ts";
import type { Contribution, Exclusion, Fact, Verdict } from "../federation/types.ts";

export interface FederationRow {
  readonly federation: FederationId;
  readonly plan: Signed<Plan>;
  readonly planHash: Sha256;
}

export interface SiteRow {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly identity: PublicIdentity;
  readonly enrolledAtMs: number;
  /** Null while it may take part. */
  readonly removedAtMs: number | null;
}

export interface InvitationRow {
  /** SHA-256 of the token's secret; the secret itself is shown once and kept nowhere. */
  readonly secretHash: Sha256;
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly expiresAtMs: number;
  readonly usedAtMs: number | null;
}

export type RoundOutcome = "open" | "closed" | "aggregated" | "abandoned";

/** One attempt at a round. */
export interface RoundRow {
  readonly round: Round;
  readonly attempt: Attempt;
  readonly base: Sha256;
  readonly cohort: readonly SiteId[];
  readonly outcome: RoundOutcome;
  readonly openedAtMs: number;
  /** When it was aggregated or abandoned. */
  readonly closedAtMs: number | null;
  readonly excluded: readonly Exclusion[];
  readonly checkpoint: Sha256 | null;
  /** Ordered by site. */
  readonly contributions: readonly Contribution[];
  /** Of a masked attempt that is not over; its messages are forgotten with it. */
  readonly masking: MaskingRow | null;
  /** Of a masked round whose sum is open. */
  readonly totals: RoundTotals | null;
  /** What the strategy goes on with from the checkpoint. */
  readonly serverState: Sha256 | null;
  /** The running average of models up to the checkpoint. */
  readonly average: Sha256 | null;
  /** On the base, where the plan has models tried. */
  readonly verdict: Verdict | null;
  /** Whether a person let training go on after this attempt had paused it. */
  readonly resumed: boolean;
}

export interface MaskingRow {
  /** Enrolled sites when the attempt began, ordered. */
  readonly roster: readonly SiteId[];
  readonly step: MaskingStep;
  /** Of all steps so far. */
  readonly messages: readonly HeldMessage[];
}

/** What became of the round before the first: the sum of the sites' fingerprints, or why there is none. */
export interface CohortRow {
  readonly record: Signed<CohortRecord> | null;
  readonly givenUp: string | null;
}

/** How far a site's images are from the others', as it says. */
export interface DistancesRow {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly message: Signed<DistancesMessage>;
  readonly receivedAtMs: number;
}

export interface UploadRow {
  readonly upload: UploadId;
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly object: UploadBegin["object"];
  readonly sizeBytes: number;
  readonly chunkBytes: number;
}

/** @see contributionTotals */
export interface SiteTotals {
  readonly site: SiteId;
  readonly contributions: number;
  readonly receivedBytes: number;
}

/** What a site's images are like, sealed as it came. */
export interface FingerprintRow {
  readonly federation: FederationId;
  readonly site: SiteId;
  readonly message: FingerprintMessage;
  readonly receivedAtMs: number;
}

export interface Store {
  createFederation(row: FederationRow, audit: AuditEvent): Promise<void>;
  federations(): Promise<readonly FederationRow[]>;

  createInvitation(row: InvitationRow, audit: AuditEvent): Promise<void>;
  invitation(secretHash: Sha256): Promise<InvitationRow | null>;
  /**
   * Uses up the invitation and adds the site, or one that was removed with the keys it has now.
   * @throws enrolment.token-used if someone was faster
   */
  enrol(row: SiteRow, secretHash: Sha256, audit: AuditEvent): Promise<void>;
  sites(federation: FederationId): Promise<readonly SiteRow[]>;

  /** A version of the roster after the first, which opening the first round makes; drops the endorsements so far. */
  changeRoster(
    federation: FederationId,
    change: RosterChange,
    atMs: number,
    audit: readonly AuditEvent[],
  ): Promise<void>;
  /** Ordered by version. */
  rosterChanges(federation: FederationId): Promise<readonly RosterChange[]>;
  /** Before there is a roster. */
  removeSite(federation: FederationId, site: SiteId, atMs: number, audit: AuditEvent): Promise<void>;
  endorse(federation: FederationId, signed: SignedEndorsement, audit: AuditEvent): Promise<void>;
  endorsements(federation: FederationId): Promise<readonly SignedEndorsement[]>;

  /** One transition of a federation, with its audit lines. */
  commit(
    federation: FederationId,
    facts: readonly Fact[],
    atMs: number,
    audit: readonly AuditEvent[],
  ): Promise<void>;
  /** All attempts in order. */
  rounds(federation: FederationId): Promise<readonly RoundRow[]>;
  /** Ordered by round; the first is the initial model. */
  checkpoints(federation: FederationId): Promise<readonly Signed<CheckpointRecord>[]>;
  /** Of this federation, or of any. */
  isCheckpoint(sha256: Sha256, federation: FederationId | null): Promise<boolean>;
  /** A running average, likewise; its bytes may be gone. */
  isAverage(sha256: Sha256, federation: FederationId | null): Promise<boolean>;
  contribution(
    federation: FederationId,
    site: SiteId,
    round: Round,
    attempt: Attempt,
  ): Promise<Signed<ContributionHeader> | SignedMasked | null>;
  contributionTotals(federation: FederationId): Promise<readonly SiteTotals[]>;

  /** Replaces an older one of the site. */
  putFingerprint(row: FingerprintRow, audit: AuditEvent): Promise<void>;
  /** Ordered by site. */
  fingerprints(federation: FederationId): Promise<readonly FingerprintRow[]>;

  /** Null while the round before the first is not over. */
  cohort(federation: FederationId): Promise<CohortRow | null>;
  /** Replaces older ones of the site. */
  putDistances(row: DistancesRow, audit: AuditEvent): Promise<void>;
  /** Ordered by site. */
  distances(federation: FederationId): Promise<readonly DistancesRow[]>;

  createUpload(row: UploadRow): Promise<void>;
  uploads(): Promise<readonly UploadRow[]>;
  uploadsOf(federation: FederationId, site: SiteId): Promise<readonly UploadRow[]>;
  upload(upload: UploadId): Promise<UploadRow | null>;
  addChunk(upload: UploadId, seq: number): Promise<void>;
  /** Chunks that are safe on disk, ascending. */
  chunks(upload: UploadId): Promise<readonly number[]>;
  /** The same upload in other chunks, of which these are safe. */
  recutUpload(row: UploadRow, have: readonly number[]): Promise<void>;
  removeUpload(upload: UploadId): Promise<void>;

  /** Lines after `seq`, ascending; all of them without a limit. */
  auditAfter(seq: number, limit?: number): Promise<readonly AuditLine[]>;
  addAudit(event: AuditEvent): Promise<AuditLine>;
  /** Lines of this event in this federation, newest first. */
  newestAudit(federation: FederationId, event: string, atMost: number): Promise<readonly AuditLine[]>;

  /** What is under way is waited for. */
  close(): Promise<void>;
}
