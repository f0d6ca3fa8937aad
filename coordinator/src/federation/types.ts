/**
 * The words of the round reducer: what state a federation is in, what can happen to it (events), what is recorded about
 * it (facts: persisted and audited in one transaction) and what is done because of it (effects: run after the commit).
 */
import type { Signed } from "@consilium/shared/crypto/signed";
import type { Attempt, Round, Sha256, SiteId } from "@consilium/shared/ids";
import type { CohortRecord } from "@consilium/shared/protocol/fingerprint";
import type { RoundHealth } from "@consilium/shared/health/schema";
import type { MaskingMessage } from "@consilium/shared/protocol/masking";
import type {
  CheckpointRecord,
  ContributionHeader,
  ContributionMetrics,
  EarlyEnd,
  MaskingStep,
  RoundTotals,
} from "@consilium/shared/protocol/round";
import type { StopRule } from "@consilium/shared/stop-schema";
import type { HeldMessage, Masking } from "./masking-steps.ts";
import type { Stopping } from "./stopping.ts";

/** The parts of the plan, and of the coordinator's settings, that decide how rounds follow each other. */
export interface Rules {
  readonly rounds: number;
  readonly minSites: number;
  readonly roundDeadlineMs: number;
  /** When enough sites are there but not all of the roster, how long the others are waited for. */
  readonly gatherMs: number;
  /** Whether the coordinator is to see the sum of the updates alone, or may read each. */
  readonly secure: "masked" | "plain";
  /** Fewest sites of a group, where groups are summed apart. */
  readonly groupSites?: number | undefined;
  /** Whether each model is tried on images that nobody trains on, and how much worse it may be than the one before. */
  readonly acceptance: { readonly tolerance: number; readonly maxRollbacks: number } | null;
  /** When to end before the last round. */
  readonly stop?: StopRule | undefined;
}

/** A model that sites have tried on images that nobody trains on. */
export interface TriedModel {
  readonly checkpoint: Sha256;
  /** Mean held-out loss of the sites, each counting alike. */
  readonly loss: number;
}

/** What became of a model that was tried. */
export interface Verdict extends TriedModel {
  readonly accepted: boolean;
  /** The model accepted before it, if there was one: what it is compared with, and goes back to. */
  readonly before: TriedModel | null;
}

/** An accepted contribution; its sealed or masked update lies in the blob store. */
export interface Contribution {
  readonly site: SiteId;
  /** Null for a masked one, like its metrics. */
  readonly examples: number | null;
  readonly metrics: ContributionMetrics | null;
  readonly health?: RoundHealth;
  readonly sealedSha256: Sha256;
  readonly sealedBytes: number;
}

/** A site of the cohort that is not in the aggregate. */
export interface Exclusion {
  readonly site: SiteId;
  /** An error code, or a few words. */
  readonly reason: string;
}

export interface WaitingPosition {
  readonly phase: "waiting";
  /** The round and attempt that open next. */
  readonly round: Round;
  readonly attempt: Attempt;
  /** Enough sites are there; the rest of the roster is given a moment. */
  readonly gathering: boolean;
}

export interface OpenPosition {
  readonly phase: "open";
  readonly round: Round;
  readonly attempt: Attempt;
  readonly base: Sha256;
  readonly cohort: readonly SiteId[];
  readonly openedAtMs: number;
  readonly deadlineAtMs: number;
  /** Ordered by site. */
  readonly contributions: readonly Contribution[];
  /** Sites whose update was looked at and refused, and silent ones, which may still send a better one; and sites that sit a masked attempt out. */
  readonly refused: readonly Exclusion[];
  /** Null where updates are not masked. */
  readonly masking: Masking | null;
}

export interface AggregatingPosition {
  readonly phase: "aggregating";
  readonly round: Round;
  readonly attempt: Attempt;
  readonly base: Sha256;
  readonly cohort: readonly SiteId[];
  readonly openedAtMs: number;
  readonly contributions: readonly Contribution[];
  readonly excluded: readonly Exclusion[];
}

/** Too many models in a row were worse than the one before: a person has to look. */
export interface PausedPosition {
  readonly phase: "paused";
  /** In words, if it is another reason. */
  readonly alarm?: string;
  /** The round and attempt that open next. */
  readonly round: Round;
  readonly attempt: Attempt;
}

export interface FinishedPosition {
  readonly phase: "finished";
  /** Of a federation that ended before its last round. */
  readonly stopped?: EarlyEnd;
}

export type Position =
  WaitingPosition | OpenPosition | AggregatingPosition | PausedPosition | FinishedPosition;

export interface FederationState {
  readonly rules: Rules;
  /** Enrolled sites, ordered. */
  readonly roster: readonly SiteId[];
  /** Sites with a live control connection that said hello, ordered. */
  readonly connected: readonly SiteId[];
  /** Who has been asked for the initial model, and the hash that site derived; null once it is here. */
  readonly genesisClaim: { readonly site: SiteId; readonly sha256: Sha256 } | null;
  /** The initial model, once uploaded. */
  readonly genesis: Sha256 | null;
  /** The global model that rounds start from: the newest, or an older one that was gone back to. */
  readonly checkpoint: Sha256 | null;
  /** The last model that was tried and not found worse; null before there is one. */
  readonly accepted: TriedModel | null;
  /** Models in a row that were found worse. */
  readonly rollbacks: number;
  /** How long models have been no better. */
  readonly stopping: Stopping;
  readonly position: Position;
}

export type FederationEvent = { readonly atMs: number } & (
  | { readonly type: "site.enrolled"; readonly site: SiteId }
  /** The operator took it off the roster. */
  | { readonly type: "site.removed"; readonly site: SiteId }
  | { readonly type: "site.connected"; readonly site: SiteId; readonly genesis: Sha256 }
  | { readonly type: "site.disconnected"; readonly site: SiteId }
  | { readonly type: "genesis.uploaded"; readonly record: Signed<CheckpointRecord> }
  | { readonly type: "contribution.received"; readonly header: Signed<ContributionHeader> }
  /** An update that cannot be counted, or a site that is not waited for any longer. */
  | {
      readonly type: "contribution.refused";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly reason: string;
    }
  /** An accepted contribution cannot be read any more. */
  | {
      readonly type: "contribution.lost";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly reason: string;
    }
  /** A site's message of a masked round, looked at and found right; in the step `mask` its vector is on the disk. */
  | {
      readonly type: "masking.answered";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly answer: HeldMessage;
    }
  /** A site says that it takes no further part in this masked attempt. */
  | {
      readonly type: "site.sat-out";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly reason: string;
    }
  /** The sum of this attempt cannot be opened. */
  | {
      readonly type: "attempt.failed";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly reason: string;
      readonly culprits: readonly string[];
    }
  | {
      readonly type: "deadline.passed";
      readonly round: Round;
      readonly attempt: Attempt;
      /** The step that it was set for, in a masked round. */
      readonly step?: MaskingStep | undefined;
    }
  /** It is put off for sites that get on. */
  | {
      readonly type: "deadline.extended";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly step?: MaskingStep | undefined;
      readonly untilMs: number;
    }
  | { readonly type: "gathering.ended" }
  | {
      readonly type: "round.aggregated";
      readonly attempt: Attempt;
      readonly record: Signed<CheckpointRecord>;
      /** Of a masked round. */
      readonly totals?: RoundTotals | undefined;
      /** Why the next round is to wait for a person. */
      readonly alarm?: string | undefined;
      /** What the strategy goes on with from this model. */
      readonly serverState?: Sha256 | null;
      /** The running average up to this model. */
      readonly average?: Sha256 | null;
      /** Mean held-out loss of the round's base; null if no site has tried it. */
      readonly heldOutLoss?: number | null;
    }
  /** The sum of the fingerprints is open. */
  | {
      readonly type: "cohort.summed";
      readonly attempt: Attempt;
      readonly record: Signed<CohortRecord>;
    }
  /** A person has looked, and lets training go on. */
  | { readonly type: "operator.resumed" }
  /** The coordinator has started again; nobody is connected. */
  | { readonly type: "coordinator.recovered" }
);

/** An event without its time. */
export type Happening = FederationEvent extends infer E
  ? E extends FederationEvent
    ? Omit<E, "atMs">
    : never
  : never;

export type Fact =
  | { readonly fact: "genesis.stored"; readonly record: Signed<CheckpointRecord> }
  | {
      readonly fact: "round.opened";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly base: Sha256;
      readonly cohort: readonly SiteId[];
    }
  | { readonly fact: "contribution.accepted"; readonly header: Signed<ContributionHeader> }
  /** Follows `round.opened` where updates are masked. */
  | {
      readonly fact: "masking.opened";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly roster: readonly SiteId[];
    }
  | {
      readonly fact: "masking.answered";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly message: MaskingMessage;
    }
  | {
      readonly fact: "masking.advanced";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly step: MaskingStep;
      readonly sites: readonly SiteId[];
    }
  /** It came after its attempt was closed. */
  | {
      readonly fact: "contribution.late";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
    }
  | {
      readonly fact: "contribution.dropped";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly reason: string;
    }
  /** No more contributions; `excluded` says who of the cohort is missing and why. */
  | {
      readonly fact: "round.closed";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly excluded: readonly Exclusion[];
    }
  /** Too few contributions, or a sum that cannot be opened: the round is tried again. */
  | {
      readonly fact: "round.abandoned";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly excluded: readonly Exclusion[];
      /** Why the sum cannot be opened, and who is to blame if that is known. */
      readonly failure?: { readonly reason: string; readonly culprits: readonly string[] };
    }
  | {
      readonly fact: "round.aggregated";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly record: Signed<CheckpointRecord>;
      readonly totals?: RoundTotals;
      readonly serverState: Sha256 | null;
      readonly average: Sha256 | null;
    }
  | {
      readonly fact: "site.sat-out";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly site: SiteId;
      readonly reason: string;
    }
  | CohortFact
  | TrialFact
  | {
      readonly fact: "federation.finished";
      readonly checkpoint: Sha256;
      readonly stopped?: EarlyEnd;
    };

/** What became of models that were tried. */
export type TrialFact =
  /** The round's base: goes before `round.aggregated` if it was accepted, and ends the attempt if not. */
  | {
      readonly fact: "model.tried";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly verdict: Verdict;
      readonly rollbacks: number;
    }
  /** The last model was tried, and the federation ends with this one; the attempt that did it has made none. */
  | {
      readonly fact: "trial.ended";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly checkpoint: Sha256;
    }
  | {
      readonly fact: "federation.paused" | "federation.resumed";
      readonly round: Round;
      readonly attempt: Attempt;
    };

/** What became of the round before the first. */
export type CohortFact =
  | {
      readonly fact: "cohort.summed";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly record: Signed<CohortRecord>;
    }
  /** Follows `round.abandoned`: sites may have sent vectors, and put their fingerprints into no other sum. */
  | {
      readonly fact: "cohort.given-up";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly reason: string;
    };

export type Effect =
  | {
      readonly effect: "await-deadline";
      readonly round: Round;
      readonly attempt: Attempt;
      readonly step?: MaskingStep;
      readonly afterMs: number;
    }
  | { readonly effect: "await-gathering"; readonly afterMs: number }
  | { readonly effect: "aggregate"; readonly position: AggregatingPosition }
  /** Sealed updates and unfinished uploads of rounds that are over serve nobody. */
  | { readonly effect: "discard-spent" };

export interface Transition {
  readonly state: FederationState;
  readonly facts: readonly Fact[];
  readonly effects: readonly Effect[];
}
