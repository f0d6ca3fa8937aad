/** The rounds, checkpoints and totals of one federation in memory: what the store's rows say, kept up fact by fact. */
import type { Signed } from "@consilium/shared/crypto/signed";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import type { CheckpointRecord, ContributionHeader } from "@consilium/shared/protocol/round";
import type { RoundRow, SiteTotals } from "../store/store.ts";
import type { Contribution, Fact } from "./types.ts";

export class Ledger {
  /** Ordered by round and attempt. */
  readonly rounds: RoundRow[];
  /** Ordered by round; the first is the initial model. */
  readonly checkpoints: Signed<CheckpointRecord>[];
  readonly #totals: Map<SiteId, SiteTotals>;

  constructor(
    rounds: readonly RoundRow[],
    checkpoints: readonly Signed<CheckpointRecord>[],
    totals: readonly SiteTotals[],
  ) {
    this.rounds = [...rounds];
    this.checkpoints = [...checkpoints];
    this.#totals = new Map(totals.map((entry) => [entry.site, entry]));
  }

  totalsOf(site: SiteId): SiteTotals | undefined {
    return this.#totals.get(site);
  }

  /** Sealed updates that may still be averaged. */
  neededUpdates(): readonly Sha256[] {
    const aggregated = this.#lastAggregated();
    return this.rounds.filter(({ round }) => round > aggregated).flatMap(updatesOf);
  }

  /** Sealed updates of the round that the newest global model ended: all its attempts. */
  spentUpdates(): readonly Sha256[] {
    const aggregated = this.#lastAggregated();
    return this.rounds.filter(({ round }) => round === aggregated).flatMap(updatesOf);
  }

  #lastAggregated(): number {
    return this.checkpoints.at(-1)?.body.round ?? 0;
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
        });
        return;
      }
      case "contribution.accepted":
        this.#accept(fact.header.body);
        return;
      case "contribution.dropped": {
        const row = this.#last();
        const dropped = row.contributions.find(({ site }) => site === fact.site);
        this.#change({ contributions: row.contributions.filter((one) => one !== dropped) });
        if (dropped !== undefined) this.#count(fact.site, -1, -dropped.sealedBytes);
        return;
      }
      case "round.closed":
        this.#change({ outcome: "closed", excluded: fact.excluded });
        return;
      case "round.abandoned":
        this.#change({ outcome: "abandoned", excluded: fact.excluded, closedAtMs: atMs });
        return;
      case "round.aggregated":
        this.#change({ outcome: "aggregated", checkpoint: fact.record.body.sha256, closedAtMs: atMs });
        this.checkpoints.push(fact.record);
        return;
      case "federation.finished":
        return;
    }
  }

  #accept(header: ContributionHeader): void {
    const contributions = [...this.#last().contributions, toContribution(header)];
    this.#change({ contributions: contributions.sort((a, b) => (a.site < b.site ? -1 : 1)) });
    this.#count(header.site, 1, header.sealedBytes);
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
    this.#totals.set(site, {
      site,
      contributions: before.contributions + contributions,
      receivedBytes: before.receivedBytes + receivedBytes,
    });
  }
}

export function toContribution(header: ContributionHeader): Contribution {
  const { site, examples, metrics, sealedSha256, sealedBytes } = header;
  return { site, examples, metrics, sealedSha256, sealedBytes };
}

const updatesOf = ({ contributions }: RoundRow): Sha256[] =>
  contributions.map(({ sealedSha256 }) => sealedSha256);
