/** The rounds, checkpoints and totals of one federation in memory: what the store's rows say, kept up fact by fact. */
import type { Signed } from "@consilium/shared/crypto/signed";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import {
  isFingerprintRound,
  type CheckpointRecord,
  type ContributionHeader,
} from "@consilium/shared/protocol/round";
import type { SignedMasked } from "@consilium/shared/secagg/messages";
import type { Plan } from "@consilium/shared/plan";
import type { NextJob } from "../aggregation/next-checkpoint.ts";
import type { CohortRow, MaskingRow, RoundRow, SiteTotals } from "../store/store.ts";
import { FIRST_STEP, type HeldMessage } from "./masking-steps.ts";
import type { Contribution, Fact, FederationState } from "./types.ts";

/** A model, and the running average up to it where that is another one. */
export interface Release {
  readonly record: Signed<CheckpointRecord>;
  readonly average: { readonly sha256: Sha256; readonly models: number } | null;
}

type Candidates = Pick<FederationState, "checkpoint" | "accepted" | "stopping">;

/** More than lie between a round and the one whose model it goes back to; what is older, a restart sweeps. */
const RECENT_ROWS = 64;

export class Ledger {
  /** Ordered by round and attempt. */
  readonly rounds: RoundRow[];
  /** Ordered by round; the first is the initial model. */
  readonly checkpoints: Signed<CheckpointRecord>[];
  /** What became of the round before the first; null while it is not over. */
  cohort: CohortRow | null;
  readonly #totals: Map<SiteId, SiteTotals>;
  readonly #late = new Set<string>();

  constructor(
    rounds: readonly RoundRow[],
    checkpoints: readonly Signed<CheckpointRecord>[],
    totals: readonly SiteTotals[],
    cohort: CohortRow | null = null,
  ) {
    this.cohort = cohort;
    this.rounds = [...rounds];
    this.checkpoints = [...checkpoints];
    this.#totals = new Map(totals.map((entry) => [entry.site, entry]));
  }

  /** In a federation that has finished that may be one that made no model, and only tried the last. */
  lastRoundOver({ phase }: Pick<FederationState["position"], "phase">): number {
    const last = phase === "finished" ? this.rounds.at(-1)?.round : this.checkpoints.at(-1)?.body.round;
    return last ?? 0;
  }

  totalsOf(site: SiteId): SiteTotals | undefined {
    return this.#totals.get(site);
  }

  /** What is to be put on record of a late update: once, and of sites that were asked for it. */
  lateFacts(site: SiteId, { round, attempt }: Pick<RoundRow, "round" | "attempt">): readonly Fact[] {
    const key = `${round}.${attempt} ${site}`;
    const row = this.rounds.find((other) => other.round === round && other.attempt === attempt);
    if (this.#late.has(key) || row?.cohort.includes(site) !== true) return [];
    this.#late.add(key);
    return [{ fact: "contribution.late", round, attempt, site }];
  }

  /** Sealed updates that may still be averaged. */
  neededUpdates(): readonly Sha256[] {
    return this.rounds.filter(({ outcome }) => outcome === "open" || outcome === "closed").flatMap(updatesOf);
  }

  /** Sealed updates of the round that the newest global model ended, and of attempts since that were given up. */
  spentUpdates(): readonly Sha256[] {
    const aggregated = this.checkpoints.at(-1)?.body.round ?? 0;
    // Beyond the last model lie attempts that made none.
    const isOver = ({ round, outcome }: RoundRow): boolean =>
      round >= aggregated && (outcome === "abandoned" || outcome === "aggregated");
    return this.rounds.filter(isOver).flatMap(updatesOf);
  }

  /** What the strategy left behind when it made this model. */
  serverStateOf(checkpoint: Sha256): Sha256 | null {
    return (
      this.rounds.findLast((row) => row.checkpoint === checkpoint && row.serverState !== null)?.serverState ??
      null
    );
  }

  /** The running average up to this model; null where it is the model itself, or no plan asks. */
  averageOf(checkpoint: Sha256): Sha256 | null {
    return (
      this.rounds.findLast((row) => row.checkpoint === checkpoint && row.average !== null)?.average ?? null
    );
  }

  /** What the federation ends with if it ends with this model. */
  releaseOf(checkpoint: Sha256 | null): Release | undefined {
    const record = this.checkpoints.findLast(({ body }) => body.sha256 === checkpoint);
    if (record === undefined) return undefined;
    const { sha256 } = record.body;
    const average = this.averageOf(sha256);
    return { record, average: average && { sha256: average, models: this.generation(sha256) } };
  }

  /** How many models lie between the initial one, which is not counted, and this one, which is. */
  generation(checkpoint: Sha256): number {
    const parents = new Map(this.checkpoints.map(({ body }) => [body.sha256, body.parent]));
    const seen = new Set<Sha256>();
    // A round that changes nothing makes a model that is its own ancestor.
    for (let at: Sha256 | null = checkpoint; at !== null && !seen.has(at); at = parents.get(at) ?? null) {
      seen.add(at);
    }
    return Math.max(0, seen.size - 1);
  }

  /** What making a model from this base goes on with. */
  carriedBy(base: Sha256, average: Plan["average"]): Pick<NextJob, "serverState" | "average"> {
    const generation = this.generation(base);
    const job =
      average === undefined || generation === 0
        ? undefined
        : { decay: average.decay, before: this.averageOf(base) ?? base, models: generation + 1 };
    return { serverState: this.serverStateOf(base), average: job };
  }

  /** Of the models that rounds may start from, or that the federation may end with. */
  neededStates({ checkpoint, accepted, stopping }: Candidates): readonly Sha256[] {
    return [checkpoint, accepted?.checkpoint, stopping.best?.checkpoint].flatMap((name) =>
      name === undefined || name === null
        ? []
        : [this.serverStateOf(name) ?? [], this.averageOf(name) ?? []].flat(),
    );
  }

  /** Of models that no round starts from any more; of recent rounds, as those of older ones went before. */
  spentStates(state: Candidates): readonly Sha256[] {
    // An average of models that are all the same is one of them.
    const kept = new Set([...this.neededStates(state), ...this.checkpoints.map(({ body }) => body.sha256)]);
    return this.rounds
      .slice(-RECENT_ROWS)
      .flatMap(({ serverState, average }) => [serverState ?? [], average ?? []].flat())
      .filter((name) => !kept.has(name));
  }

  apply(fact: Fact, atMs: number): void {
    switch (fact.fact) {
      case "genesis.stored":
        this.checkpoints.push(fact.record);
        return;
      case "round.opened": {
        const { round, attempt, base, cohort } = fact;
        this.rounds.push({
          round,
          attempt,
          base,
          cohort,
          outcome: "open",
          openedAtMs: atMs,
          closedAtMs: null,
          excluded: [],
          checkpoint: null,
          contributions: [],
          masking: null,
          totals: null,
          serverState: null,
          average: null,
          verdict: null,
          resumed: false,
        });
        return;
      }
      case "masking.opened":
        this.#change({ masking: { roster: fact.roster, step: FIRST_STEP, messages: [] } });
        return;
      case "masking.answered":
        this.#answer(fact);
        return;
      case "masking.advanced":
        this.#changeMasking((masking) => ({ ...masking, step: fact.step }));
        return;
      case "contribution.accepted":
        this.#accept(toContribution(fact.header.body));
        return;
      case "contribution.dropped": {
        const row = this.#last();
        const dropped = row.contributions.find(({ site }) => site === fact.site);
        this.#change({ contributions: row.contributions.filter((one) => one !== dropped) });
        this.#changeMasking((masking) => ({
          ...masking,
          messages: masking.messages.filter(
            ({ site, message }) => site !== fact.site || message.step !== "mask",
          ),
        }));
        if (dropped !== undefined) this.#count(fact.site, -1, -dropped.sealedBytes);
        return;
      }
      case "round.closed":
        this.#change({ outcome: "closed", excluded: fact.excluded });
        return;
      case "round.abandoned":
        this.#change({ outcome: "abandoned", excluded: fact.excluded, closedAtMs: atMs, masking: null });
        return;
      case "round.aggregated":
        this.#change({
          outcome: "aggregated",
          checkpoint: fact.record.body.sha256,
          closedAtMs: atMs,
          masking: null,
          totals: fact.totals ?? null,
          serverState: fact.serverState,
          average: fact.average,
        });
        this.checkpoints.push(fact.record);
        return;
      case "cohort.summed":
        this.#change({ outcome: "aggregated", closedAtMs: atMs, masking: null });
        this.cohort = { record: fact.record, givenUp: null };
        return;
      case "cohort.given-up":
        this.cohort = { record: null, givenUp: fact.reason };
        return;
      case "model.tried":
        this.#change({ verdict: fact.verdict });
        if (!fact.verdict.accepted) this.#change({ outcome: "abandoned", closedAtMs: atMs, masking: null });
        return;
      case "trial.ended":
        this.#change({ outcome: "aggregated", checkpoint: fact.checkpoint, closedAtMs: atMs, masking: null });
        return;
      case "federation.resumed":
        this.#change({ resumed: true });
        return;
      // Not kept: after a restart the site says so again.
      case "site.sat-out":
      case "federation.paused":
      case "contribution.late":
      case "federation.finished":
        return;
    }
  }

  #accept(contribution: Contribution): void {
    const contributions = [...this.#last().contributions, contribution];
    this.#change({ contributions: contributions.sort((a, b) => (a.site < b.site ? -1 : 1)) });
    this.#count(contribution.site, 1, contribution.sealedBytes);
  }

  #answer({ site, message }: HeldMessage): void {
    if (message.step === "mask") this.#accept(toMaskedContribution(message.masked.body));
    this.#changeMasking((masking) => ({ ...masking, messages: [...masking.messages, { site, message }] }));
  }

  #changeMasking(change: (masking: MaskingRow) => MaskingRow): void {
    const { masking } = this.#last();
    if (masking !== null) this.#change({ masking: change(masking) });
  }

  /** Facts about a round are always about the newest attempt. */
  #last(): RoundRow {
    const last = this.rounds.at(-1);
    if (last === undefined) throw new Error("a fact about a round before any was opened");
    return last;
  }

  #change(change: Partial<RoundRow>): void {
    this.rounds[this.rounds.length - 1] = { ...this.#last(), ...change };
  }

  #count(site: SiteId, contributions: number, receivedBytes: number): void {
    const before = this.#totals.get(site) ?? { site, contributions: 0, receivedBytes: 0 };
    // A fingerprint is no contribution to the model.
    const counted = isFingerprintRound(this.#last().round) ? 0 : contributions;
    this.#totals.set(site, {
      site,
      contributions: before.contributions + counted,
      receivedBytes: before.receivedBytes + receivedBytes,
    });
  }
}

export function toContribution(header: ContributionHeader): Contribution {
  const { site, examples, metrics, health, sealedSha256, sealedBytes } = header;
  return { site, examples, metrics, ...(health && { health }), sealedSha256, sealedBytes };
}

/** The coordinator learns neither examples nor metrics of a masked one. */
export function toMaskedContribution({ site, sha256, bytes }: SignedMasked["body"]): Contribution {
  return { site, examples: null, metrics: null, sealedSha256: sha256, sealedBytes: bytes };
}

const updatesOf = ({ contributions }: RoundRow): Sha256[] =>
  contributions.map(({ sealedSha256 }) => sealedSha256);
