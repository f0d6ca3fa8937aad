/**
 * Runs one federation: events go through the reducer one at a time, each transition is committed in one transaction,
 * and only then its effects run. Nothing that matters is in memory alone, so the process may die between any two lines.
 */
import { fingerprint, sign, type Identity } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { FederationPosition, Hello, Progress, UploadOutcome } from "@consilium/shared/protocol/events";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { CheckpointRecord, ContributionHeader } from "@consilium/shared/protocol/round";
import type { Logger } from "pino";
import type { Aggregator } from "../aggregation/tasks.ts";
import { factData, factToAudit } from "../audit/events.ts";
import type { Blobs } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { FederationRow, SiteRow, Store } from "../store/store.ts";
import { admitHello, admitSender, admitSize } from "./admission.ts";
import { readLayout, type ModelLayout } from "./layout.ts";
import { Ledger } from "./ledger.ts";
import { LiveSites } from "./live.ts";
import { OpeningSigner, positionFor } from "./position.ts";
import { restoreState } from "./recovery.ts";
import { judge, transition } from "./reducer.ts";
import { federationStatus } from "./status.ts";
import type { AggregatingPosition, Effect, Fact, FederationEvent, FederationState } from "./types.ts";

export interface FederationPorts {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly aggregator: Aggregator;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly logger: Logger;
  /** Brings the audit file up to the store. */
  readonly followAudit: () => Promise<void>;
  readonly gatherMs: number;
}

export interface Change {
  /** What was committed with it, in order. */
  readonly facts: readonly Fact[];
  /** Whether the state changed, and not only what sites report of their progress. */
  readonly ofState: boolean;
}
export type ChangeListener = (change: Change) => void;

/** Work that failed for a reason of the machine, such as a full disk, is tried again. */
const RETRY_MS = 5_000;

/** An event without its time. */
type Happening = FederationEvent extends infer E
  ? E extends FederationEvent
    ? Omit<E, "atMs">
    : never
  : never;

export class FederationService {
  readonly federation: FederationId;
  readonly plan: Signed<Plan>;
  readonly planHash: Sha256;
  readonly #ports: FederationPorts;
  readonly #ledger: Ledger;
  readonly #roster: Map<SiteId, SiteRow>;
  readonly #live = new LiveSites();
  readonly #openings: OpeningSigner;
  readonly #listeners = new Set<ChangeListener>();
  readonly #timers = new Set<() => void>();
  #state: FederationState;
  #layout: ModelLayout | null;
  #queue: Promise<unknown> = Promise.resolve();
  #cancelDeadline: () => void = () => undefined;
  #closed = false;

  private constructor(
    ports: FederationPorts,
    row: FederationRow,
    parts: {
      readonly state: FederationState;
      readonly ledger: Ledger;
      readonly roster: readonly SiteRow[];
      readonly layout: ModelLayout | null;
    },
  ) {
    this.#ports = ports;
    this.federation = row.federation;
    this.plan = row.plan;
    this.planHash = row.planHash;
    this.#state = parts.state;
    this.#ledger = parts.ledger;
    this.#roster = new Map(parts.roster.map((site) => [site.site, site]));
    this.#layout = parts.layout;
    this.#openings = new OpeningSigner(ports.identity, row.federation, row.planHash);
  }

  /** Reads the federation as the last commit left it, and goes on from there. */
  static async open(ports: FederationPorts, row: FederationRow): Promise<FederationService> {
    const { store, blobs } = ports;
    const { rounds, minSites, roundDeadlineMs } = row.plan.body;
    const rules = { rounds, minSites, roundDeadlineMs, gatherMs: ports.gatherMs };
    const roster = await store.sites(row.federation);
    const attempts = await store.rounds(row.federation);
    const checkpoints = await store.checkpoints(row.federation);
    const state = restoreState(rules, {
      roster: roster.map(({ site }) => site),
      rounds: attempts,
      checkpoints: checkpoints.map(({ body }) => body),
    });
    const totals = await store.contributionTotals(row.federation);
    const ledger = new Ledger(attempts, checkpoints, totals);
    const layout = state.genesis === null ? null : await readLayout(blobs, state.genesis);
    const service = new FederationService(ports, row, { state, ledger, roster, layout });
    await service.#dropLostContributions();
    await service.#dispatch({ type: "coordinator.recovered" });
    ports.logger.info(
      { federation: row.federation, ...service.#where(), checkpoints: checkpoints.length },
      "federation recovered",
    );
    return service;
  }

  /** @returns a function that ends the subscription */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @throws site.unknown */
  siteRow(site: SiteId): SiteRow {
    const row = this.#roster.get(site);
    if (row === undefined) throw new ConsiliumError("site.unknown", { culprits: [site] });
    return row;
  }

  async enrolled(row: SiteRow): Promise<void> {
    this.#roster.set(row.site, row);
    await this.#dispatch({ type: "site.enrolled", site: row.site });
  }

  /** @throws protocol.version, plan.mismatch, manifest.mismatch, site.unknown */
  async hello(site: SiteId, hello: Hello): Promise<FederationPosition> {
    this.siteRow(site);
    await this.#serial(async () => {
      admitHello(hello, site, this.planHash, this.#state);
      this.#live.update(site, { examples: hello.examples, lastSeenAtMs: this.#ports.clock.now() });
      await this.#apply({ type: "site.connected", site, genesis: hello.genesis });
    });
    return this.position(site);
  }

  async disconnected(site: SiteId): Promise<void> {
    this.#live.update(site, { phase: "idle", lastSeenAtMs: this.#ports.clock.now() });
    await this.#dispatch({ type: "site.disconnected", site });
  }

  progress(site: SiteId, { phase, done, total, loss }: Progress): void {
    this.#live.update(site, { phase, done, total, loss, lastSeenAtMs: this.#ports.clock.now() });
    this.#notify({ facts: [], ofState: false });
  }

  position(site: SiteId): FederationPosition {
    return positionFor(site, this.#state, {
      openings: this.#openings,
      newest: this.#ledger.checkpoints.at(-1),
      nowMs: this.#ports.clock.now(),
    });
  }

  /**
   * Whether the bytes of this contribution should be sent; if not, what became of it.
   * @throws auth.failed, crypto.bad-signature, plan.mismatch, manifest.mismatch, upload.too-large, frame.wrong-length
   */
  async admit(header: Signed<ContributionHeader>, site: SiteId): Promise<UploadOutcome | "wanted"> {
    admitSender(header, this.siteRow(site), this.federation, this.planHash);
    const verdict = judge(this.#state, header.body);
    if (verdict === "wanted" && this.#layout !== null) admitSize(header.body, this.#layout);
    if (verdict !== "stale") return verdict;
    const { round, attempt } = header.body;
    const kept = await this.#ports.store.contribution(this.federation, site, round, attempt);
    return kept === null ? "stale" : "duplicate";
  }

  /** Called once the sealed update is durable under its name. Counts it, at most once. */
  async contribute(header: Signed<ContributionHeader>): Promise<UploadOutcome> {
    return this.#serial(async () => {
      const verdict = judge(this.#state, header.body);
      if (verdict !== "wanted") return verdict;
      await this.#apply({ type: "contribution.received", header });
      return "accepted";
    });
  }

  /** An update that can never be counted: the round need not wait for its site. */
  async refuse({ round, attempt, site }: ContributionHeader, reason: string): Promise<void> {
    await this.#dispatch({ type: "contribution.refused", round, attempt, site, reason });
  }

  get lacksGenesis(): boolean {
    return this.#state.genesis === null;
  }

  /** Whether this site may upload the initial model now. @throws round.not-open, manifest.mismatch */
  admitGenesis(site: SiteId, sha256: Sha256): "wanted" | "duplicate" {
    if (this.#state.genesis === sha256) return "duplicate";
    const { genesisClaim } = this.#state;
    if (genesisClaim?.site !== site) throw new ConsiliumError("round.not-open", { culprits: [site] });
    if (genesisClaim.sha256 !== sha256) throw new ConsiliumError("manifest.mismatch", { culprits: [site] });
    return "wanted";
  }

  /** Called once the initial model is checked and durable under its name. */
  async acceptGenesis(sha256: Sha256): Promise<UploadOutcome> {
    const layout = await readLayout(this.#ports.blobs, sha256);
    return this.#serial(async () => {
      if (this.#state.genesis !== null) return this.#state.genesis === sha256 ? "duplicate" : "stale";
      this.#layout = layout;
      const record = this.#record({ round: 0, sha256, parent: null, sites: [] });
      await this.#apply({ type: "genesis.uploaded", record });
      return "accepted";
    });
  }

  status(): FederationStatus {
    return federationStatus({
      plan: this.plan.body,
      planHash: this.planHash,
      coordinatorFingerprint: fingerprint(this.#ports.identity.public),
      parameters: this.#layout?.parameters ?? null,
      state: this.#state,
      rounds: this.#ledger.rounds,
      sites: this.#state.roster.map((site) => ({
        site,
        fingerprint: fingerprint(this.siteRow(site).identity),
        live: this.#live.get(site),
        totals: this.#ledger.totalsOf(site),
      })),
    });
  }

  /** Sealed updates that may still be averaged. */
  neededBlobs(): readonly Sha256[] {
    const aggregated = this.#lastAggregated();
    return this.#ledger.rounds
      .filter(({ round }) => round > aggregated)
      .flatMap(({ contributions }) => contributions.map(({ sealedSha256 }) => sealedSha256));
  }

  /** Nothing is written any more; what was committed is all there is. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const cancel of this.#timers) cancel();
    await this.#queue.catch(() => undefined);
  }

  #dispatch(event: Happening): Promise<void> {
    return this.#serial(() => this.#apply(event));
  }

  /** One at a time, in order of arrival. */
  #serial<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      if (this.#closed) throw new ConsiliumError("coordinator.unreachable");
      return action();
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #apply(event: Happening): Promise<void> {
    const atMs = this.#ports.clock.now();
    const next = transition(this.#state, { ...event, atMs });
    if (next.facts.length > 0) await this.#commit(next.facts, atMs);
    const changed = next.state !== this.#state;
    this.#state = next.state;
    for (const effect of next.effects) this.#run(effect);
    if (changed) this.#notify({ facts: next.facts, ofState: true });
  }

  async #commit(facts: readonly Fact[], atMs: number): Promise<void> {
    const { store, logger, followAudit } = this.#ports;
    const audit = facts.map((fact) => factToAudit(this.federation, fact, atMs));
    await store.commit(this.federation, facts, atMs, audit);
    for (const fact of facts) {
      this.#ledger.apply(fact, atMs);
      logger.info({ federation: this.federation, ...factData(fact) }, fact.fact);
    }
    followAudit().catch((error: unknown) => {
      logger.error({ code: toConsiliumError(error).code }, "the audit file lags behind the store");
    });
  }

  #notify(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }

  #run(effect: Effect): void {
    switch (effect.effect) {
      case "await-deadline": {
        const { round, attempt } = effect;
        this.#cancelDeadline();
        this.#cancelDeadline = this.#after(effect.afterMs, () =>
          this.#dispatch({ type: "deadline.passed", round, attempt }),
        );
        return;
      }
      case "await-gathering":
        this.#after(effect.afterMs, () => this.#dispatch({ type: "gathering.ended" }));
        return;
      case "aggregate":
        this.#keepTrying(() => this.#aggregate(effect.position));
        return;
      case "discard-spent":
        this.#keepTrying(() => this.#discardSpent());
        return;
    }
  }

  /** @returns a function that cancels it */
  #after(delayMs: number, action: () => Promise<void>): () => void {
    const stop = this.#ports.clock.after(delayMs, () => {
      this.#timers.delete(cancel);
      this.#keepTrying(action);
    });
    const cancel = (): void => {
      stop();
      this.#timers.delete(cancel);
    };
    this.#timers.add(cancel);
    return cancel;
  }

  #keepTrying(action: () => Promise<void>): void {
    action().catch((error: unknown) => {
      if (this.#closed) return;
      const { code } = toConsiliumError(error);
      this.#ports.logger.error(
        { federation: this.federation, ...this.#where(), code },
        "will be tried again",
      );
      this.#after(RETRY_MS, action);
    });
  }

  async #aggregate(position: AggregatingPosition): Promise<void> {
    if (this.#state.position !== position) return;
    const { round, attempt, base, contributions } = position;
    const { strategy } = this.plan.body.aggregation;
    const { federation } = this;
    let sha256: Sha256;
    try {
      ({ sha256 } = await this.#ports.aggregator.fold({
        federation,
        round,
        attempt,
        base,
        strategy,
        contributions: contributions.map(({ site, examples, sealedSha256 }) => ({
          site,
          examples,
          sealedSha256,
        })),
      }));
    } catch (error) {
      const { code, culprits } = toConsiliumError(error);
      const culprit = contributions.find(({ site }) => site === culprits[0]);
      if (culprit === undefined) throw error;
      await this.#dispatch({ type: "contribution.lost", round, attempt, site: culprit.site, reason: code });
      return;
    }
    const sites = contributions.map(({ site }) => site);
    const record = this.#record({ round, sha256, parent: base, sites });
    await this.#dispatch({ type: "round.aggregated", attempt, record });
  }

  /** Sealed updates are kept until the aggregate they went into is committed, and no longer. */
  async #discardSpent(): Promise<void> {
    const aggregated = this.#lastAggregated();
    for (const { round, contributions } of this.#ledger.rounds) {
      if (round !== aggregated) continue;
      for (const { sealedSha256 } of contributions) await this.#ports.blobs.remove(sealedSha256);
    }
  }

  /** A disk may lose what was acknowledged; then it is asked for again while the round is open. */
  async #dropLostContributions(): Promise<void> {
    const { position } = this.#state;
    if (position.phase !== "open" && position.phase !== "aggregating") return;
    const { round, attempt } = position;
    for (const { site, sealedSha256, sealedBytes } of position.contributions) {
      if ((await this.#ports.blobs.sizeOf(sealedSha256)) === sealedBytes) continue;
      await this.#dispatch({ type: "contribution.lost", round, attempt, site, reason: "hash.mismatch" });
    }
  }

  #lastAggregated(): number {
    return this.#ledger.checkpoints.at(-1)?.body.round ?? 0;
  }

  #record(record: Omit<CheckpointRecord, "federation" | "planHash">): Signed<CheckpointRecord> {
    const { federation, planHash } = this;
    return sign("checkpoint", { federation, planHash, ...record }, this.#ports.identity);
  }

  #where() {
    const { position } = this.#state;
    return position.phase === "finished"
      ? { phase: position.phase }
      : { phase: position.phase, round: position.round, attempt: position.attempt };
  }
}
