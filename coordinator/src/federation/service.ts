/**
 * Runs one federation: events go through the reducer one at a time, each transition is committed in one transaction,
 * and only then its effects run. Nothing that matters is in memory alone, so the process may die between any two lines.
 */
import { sign } from "@consilium/shared/crypto/identity";
import type { Signed } from "@consilium/shared/crypto/signed";
import { printOf } from "@consilium/shared/crypto/words";
import { ConsiliumError } from "@consilium/shared/errors";
import type { FederationId, Sha256, SiteId } from "@consilium/shared/ids";
import type { Plan } from "@consilium/shared/plan";
import type { FederationPosition, Hello, Progress, UploadOutcome } from "@consilium/shared/protocol/events";
import type { DistancesMessage, FingerprintMessage } from "@consilium/shared/protocol/fingerprint";
import type { HoldMessage } from "@consilium/shared/protocol/hold";
import type { FederationStatus } from "@consilium/shared/protocol/http";
import type { MaskingAnswer, MaskingQuery, MaskingShown, SitOut } from "@consilium/shared/protocol/masking";
import type { CheckpointRecord, ContributionHeader } from "@consilium/shared/protocol/round";
import { noticingJumps } from "../clock.ts";
import type { RosterBook } from "../governance/roster-book.ts";
import type { FederationRow, SiteRow } from "../store/store.ts";
import { admitGenesis, admitHello, admitSender, admitSize } from "./admission.ts";
import { aggregateRound } from "./aggregate.ts";
import { Errands } from "./errands.ts";
import { Fingerprints } from "./fingerprints.ts";
import { withAlarm } from "./health.ts";
import { readLayout, type ModelLayout } from "./layout.ts";
import { Journal } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import { LiveSites } from "./live.ts";
import { OpeningSigner, placeIn, positionFor } from "./position.ts";
import { findings, NOTHING_FOUND, type RecoveryFindings } from "./recovery-findings.ts";
import { MaskedImages } from "./masked-images.ts";
import type { Change, ChangeListener, FederationPorts } from "./ports.ts";
import { recoverFederation, type RecoveredFederation } from "./recovery.ts";
import type { MaskedRound } from "./masked-round.ts";
import { isOfAttempt, judgeIn, mayAsk } from "./masking-position.ts";
import { Maskings } from "./maskings.ts";
import { judge, transition } from "./reducer.ts";
import { Serial } from "./serial.ts";
import type { SiteImages } from "./site-images.ts";
import { federationStatus } from "./status.ts";
import { Watch } from "./watch.ts";
import type { AggregatingPosition, Effect, FederationState, Happening } from "./types.ts";

export class FederationService {
  readonly federation: FederationId;
  readonly plan: Signed<Plan>;
  readonly planHash: Sha256;
  /** Who is on the roster, and who waits to be; council.ts changes it. */
  readonly book: RosterBook;
  /** What the start found of an earlier run. */
  found: RecoveryFindings = NOTHING_FOUND;
  readonly #ports: FederationPorts;
  readonly #ledger: Ledger;
  readonly #live = new LiveSites();
  readonly #openings: OpeningSigner;
  readonly #listeners = new Set<ChangeListener>();
  readonly #errands: Errands;
  readonly #events = new Serial();
  readonly #journal: Journal;
  readonly #row: FederationRow;
  /** What the sites' images are like. */
  readonly images: SiteImages;
  readonly #maskings: Maskings;
  #state: FederationState;
  #layout: ModelLayout | null;
  readonly #watch: Watch;

  private constructor(
    ports: FederationPorts,
    row: FederationRow,
    parts: RecoveredFederation,
    images: SiteImages,
  ) {
    const clock = noticingJumps(ports.clock, (byMs) => {
      this.#watch.jumped(byMs);
    });
    this.#ports = { ...ports, clock };
    this.#row = row;
    this.federation = row.federation;
    this.plan = row.plan;
    this.planHash = row.planHash;
    this.#state = parts.state;
    this.#ledger = parts.ledger;
    this.book = parts.book;
    this.#layout = parts.layout;
    this.images = images;
    this.#journal = new Journal(ports, row.federation, parts.ledger);
    this.#openings = new OpeningSigner(ports.identity, row);
    const rosterOf = (sites: readonly SiteId[]) => parts.book.rosterOf(sites);
    this.#maskings = new Maskings({ ...ports, plan: row.plan.body, ledger: parts.ledger, rosterOf });
    this.#errands = new Errands(ports.clock, ({ code }) => {
      ports.logger.error(
        { federation: row.federation, ...placeIn(this.#state.position), code },
        "will be tried again",
      );
    });
    this.#watch = new Watch({
      clock,
      errands: this.#errands,
      stateNow: () => this.#state,
      live: this.#live,
      dispatch: (event) => this.#dispatch(event),
      logger: ports.logger.child({ federation: row.federation }),
    });
  }

  /** Reads the federation as the last commit left it, and goes on from there. */
  static async open(ports: FederationPorts, row: FederationRow): Promise<FederationService> {
    const parts = await recoverFederation(ports, row);
    const isMasked = row.plan.body.aggregation.secure === "masked";
    const images = await (isMasked
      ? MaskedImages.open(ports, row, parts.ledger)
      : Fingerprints.open(ports, row));
    const service = new FederationService(ports, row, parts, images);
    service.found = await findings(ports.blobs, parts);
    for (const lost of service.found.lost) await service.#dispatch({ type: "contribution.lost", ...lost });
    await service.#dispatch({ type: "coordinator.recovered" });
    ports.logger.info({ federation: row.federation, ...service.found }, "federation recovered");
    return service;
  }

  /** @returns a function that ends the subscription */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @throws site.unknown */
  siteRow(site: SiteId): SiteRow {
    return this.book.row(site);
  }

  /** The book has a new row. */
  async enrolled(row: SiteRow): Promise<void> {
    if (this.book.isMember(row)) await this.#dispatch({ type: "site.enrolled", site: row.site });
    else this.#notify({ facts: [], ofState: false });
  }

  /** It has one less. */
  async removed(site: SiteId): Promise<void> {
    await this.#dispatch({ type: "site.removed", site });
    this.#notify({ facts: [], ofState: false, removed: site });
  }

  /** The last round that is over: at the end, also one that made no model. */
  get lastRoundOver(): number {
    return this.#ledger.lastRoundOver(this.#state.position);
  }

  /** Why a site takes no part for now, in its own words. */
  hold(site: SiteId, hold: HoldMessage | null): void {
    const saidAtMs = this.#ports.clock.now();
    this.#live.update(site, { lastSeenAtMs: saidAtMs, hold: hold && { hold, saidAtMs } });
    this.#notify({ facts: [], ofState: false });
  }

  /** @throws protocol.version, plan.mismatch, manifest.mismatch, site.unknown, roster.pending */
  async hello(site: SiteId, hello: Hello): Promise<FederationPosition> {
    this.siteRow(site);
    await this.#events.run(async () => {
      admitHello(hello, site, this.planHash, this.#state);
      const lastSeenAtMs = this.#ports.clock.now();
      this.#live.update(site, { examples: hello.examples, lastSeenAtMs, hold: null });
      await this.#apply({ type: "site.connected", site, genesis: hello.genesis });
    });
    return this.position(site);
  }

  async disconnected(site: SiteId): Promise<void> {
    this.#live.update(site, { phase: "idle", lastSeenAtMs: this.#ports.clock.now() });
    await this.#dispatch({ type: "site.disconnected", site });
  }

  /** @throws what SiteImages.receive throws, site.unknown */
  async fingerprint(site: SiteId, message: FingerprintMessage): Promise<void> {
    await this.images.receive(this.siteRow(site), message);
    this.#notify({ facts: [], ofState: false });
  }

  /** @throws what SiteImages.report throws, site.unknown */
  async distances(site: SiteId, message: Signed<DistancesMessage>): Promise<void> {
    await this.images.report(this.siteRow(site), message);
    this.#notify({ facts: [], ofState: false });
  }

  progress(site: SiteId, progress: Progress): void {
    this.#live.report(site, progress, this.#ports.clock.now());
    this.#notify({ facts: [], ofState: false });
  }

  position(site: SiteId): FederationPosition {
    return positionFor(site, this.#state, {
      openings: this.#openings,
      newest: this.#ledger.releaseOf(this.#state.checkpoint),
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
    return this.#events.run(async () => {
      const verdict = judge(this.#state, header.body);
      if (verdict !== "wanted") return verdict;
      await this.#apply({ type: "contribution.received", header });
      return "accepted";
    });
  }

  /** What a masked round shows this site in its current step. @throws round.not-open */
  async showMasking(site: SiteId, query: MaskingQuery): Promise<MaskingShown> {
    if (!mayAsk(this.#state.position, site, query))
      throw new ConsiliumError("round.not-open", { culprits: [site] });
    return (await this.maskedRound(query)).show(query.step, site);
  }

  /**
   * Whether a site's message of a masked round is wanted, once it is known to be right.
   * @throws auth.failed, crypto.bad-signature, secagg.*, frame.wrong-length, round.not-open
   */
  async admitAnswer(site: SiteId, answer: MaskingAnswer): Promise<UploadOutcome | "wanted"> {
    const { round, attempt, message } = answer;
    const verdict = judgeIn(this.#state.position, { round, attempt, step: message.step, site });
    if (verdict === "wanted") (await this.maskedRound({ round, attempt })).admit(site, message);
    return verdict;
  }

  /** The masked attempt that is under way. @throws round.not-open */
  async maskedRound(which: { readonly round: number; readonly attempt: number }): Promise<MaskedRound> {
    const { position } = this.#state;
    if (!isOfAttempt(position, which)) throw new ConsiliumError("round.not-open");
    return this.#maskings.of(this.#openings.opening(position).body);
  }

  /** Counts a site's message, at most once. In the step `mask` its frame is durable under its name. */
  async answer(site: SiteId, answer: MaskingAnswer): Promise<UploadOutcome> {
    return this.#events.run(async () => {
      // Looked at here, in turn: whether keys are new depends on those that came before.
      const verdict = await this.admitAnswer(site, answer);
      if (verdict !== "wanted") return verdict;
      const { round, attempt, message } = answer;
      await this.#apply({ type: "masking.answered", round, attempt, answer: { site, message } });
      return "accepted";
    });
  }

  /** A site takes no further part in a masked attempt. */
  async sitOut(site: SiteId, { round, attempt, reason, culprits }: SitOut): Promise<void> {
    const why = culprits.length === 0 ? reason : `${reason}: ${culprits.join(", ")}`;
    await this.#dispatch({ type: "site.sat-out", round, attempt, site, reason: why });
  }

  /** An update that can never be counted: the round need not wait for its site. */
  async refuse(
    { round, attempt, site }: Pick<ContributionHeader, "round" | "attempt" | "site">,
    reason: string,
  ): Promise<void> {
    await this.#dispatch({ type: "contribution.refused", round, attempt, site, reason });
  }

  /** An update that came after its attempt was closed: work that comes to nothing is named. */
  late(site: SiteId, which: Pick<ContributionHeader, "round" | "attempt">): Promise<void> {
    return this.#events.run(async () => {
      const facts = this.#ledger.lateFacts(site, which);
      if (facts.length > 0) await this.#journal.commit(facts, this.#ports.clock.now());
      this.#notify({ facts, ofState: false });
    });
  }

  get lacksGenesis(): boolean {
    return this.#state.genesis === null;
  }

  /** Whether this site may upload the initial model now. @throws round.not-open, manifest.mismatch */
  admitGenesis(site: SiteId, sha256: Sha256): "wanted" | "duplicate" {
    return admitGenesis(this.#state, site, sha256);
  }

  /** Called once the initial model is checked and durable under its name. */
  async acceptGenesis(sha256: Sha256): Promise<UploadOutcome> {
    const layout = await readLayout(this.#ports.blobs, sha256, this.plan.body);
    return this.#events.run(async () => {
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
      coordinator: printOf(this.#ports.identity.public),
      layout: this.#layout,
      state: this.#state,
      nowMs: this.#ports.clock.now(),
      rounds: this.#ledger.rounds,
      sites: this.#state.roster.map((site) => ({
        site,
        print: printOf(this.siteRow(site).identity),
        live: this.#live.get(site),
        hold: this.#live.holdOf(site, this.#ports.clock.now()),
        totals: this.#ledger.totalsOf(site),
      })),
      candidates: this.book.candidates,
      needed: this.book.needed,
      images: this.images.comparisons(),
      cohort: this.images.status(),
    });
  }

  /** Lets training go on that was paused. @throws federation.not-paused */
  async resume(): Promise<void> {
    if (this.#state.position.phase !== "paused") throw new ConsiliumError("federation.not-paused");
    await this.#dispatch({ type: "operator.resumed" });
  }

  /** Nothing is written any more; what was committed is all there is. */
  async close(): Promise<void> {
    this.#errands.close();
    await this.#events.close();
  }

  #dispatch(event: Happening): Promise<void> {
    return this.#events.run(() => this.#apply(event));
  }

  async #apply(event: Happening): Promise<void> {
    const atMs = this.#ports.clock.now();
    const next = transition(this.#state, { ...event, atMs });
    if (next.facts.length > 0) await this.#journal.commit(next.facts, atMs);
    const changed = next.state !== this.#state;
    this.#state = next.state;
    for (const effect of next.effects) this.#run(effect);
    // Made ready while its sites get ready for it; whoever asks is told what was wrong.
    const opened = next.facts.find((fact) => fact.fact === "masking.opened");
    if (opened !== undefined) this.maskedRound(opened).catch(() => undefined);
    if (changed) this.#notify({ facts: next.facts, ofState: true });
  }

  #notify(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }

  #run(effect: Effect): void {
    switch (effect.effect) {
      case "await-deadline":
        this.#watch.await(effect);
        return;
      case "await-gathering":
        this.#watch.gather(effect.afterMs);
        return;
      case "aggregate":
        this.#errands.keepTrying(() => this.#aggregate(effect.position));
        return;
      case "discard-spent":
        this.#errands.keepTrying(() => this.#discardSpent());
    }
  }

  async #aggregate(position: AggregatingPosition): Promise<void> {
    if (this.#state.position !== position) return;
    const aggregated = await aggregateRound(position, {
      aggregator: this.#ports.aggregator,
      identity: this.#ports.identity,
      row: this.#row,
      ...this.#ledger.carriedBy(position.base, this.plan.body.average),
      maskedRound: () => this.maskedRound(position),
      record: (record) => this.#record(record),
    });
    await this.#dispatch(withAlarm(aggregated, this.plan.body, this.#ledger.rounds));
  }

  /** Sealed updates are kept until the aggregate they went into is committed, and no longer. */
  async #discardSpent(): Promise<void> {
    const spent = [...this.#ledger.spentUpdates(), ...this.#ledger.spentStates(this.#state)];
    for (const name of spent) await this.#ports.blobs.remove(name);
  }

  #record(record: Omit<CheckpointRecord, "federation" | "planHash">): Signed<CheckpointRecord> {
    const { federation, planHash } = this;
    return sign("checkpoint", { federation, planHash, ...record }, this.#ports.identity);
  }
}
