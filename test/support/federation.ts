/** A real coordinator in this process, and agents with their own homes; only the training is replaced by arithmetic. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RandomBytes } from "@consilium/shared/crypto/identity";
import type { PublicIdentity } from "@consilium/shared/crypto/signed";
import { FINGERPRINT_LENGTH } from "@consilium/shared/fingerprint/layout";
import type { SiteId } from "@consilium/shared/ids";
import type { Manifest } from "@consilium/shared/manifest";
import { parsePlan, type Plan, type PlanInput } from "@consilium/shared/plan";
import { parseToken } from "@consilium/shared/protocol/token";
import type { Fact } from "../../coordinator/src/federation/types.ts";
import { startCoordinator, type Coordinator, type CoordinatorOptions } from "../../coordinator/src/app.ts";
import { readOperatorAccess } from "../../coordinator/src/home.ts";
import { runAgent, type AgentResult } from "../../site-agent/src/federation/agent.ts";
import type { AgentReport } from "../../site-agent/src/federation/agent-report.ts";
import type { CohortReport } from "../../site-agent/src/federation/cohort.ts";
import { cohortFile } from "../../site-agent/src/federation/cohort-file.ts";
import { checkpointFolder } from "../../site-agent/src/federation/checkpoints.ts";
import { enrol } from "../../site-agent/src/federation/enrol.ts";
import { httpClient } from "../../site-agent/src/federation/http.ts";
import { maskingFolder } from "../../site-agent/src/federation/masking/kept.ts";
import { openNetwork, type NetworkTls } from "../../site-agent/src/federation/network.ts";
import { outboxFolder } from "../../site-agent/src/federation/outbox.ts";
import { receiptsFile } from "../../site-agent/src/federation/receipts.ts";
import { witnessedHeads } from "../../site-agent/src/governance/audit-witness.ts";
import { Gate } from "../../site-agent/src/governance/gate.ts";
import { pinsFile, type RosterNews } from "../../site-agent/src/governance/pins.ts";
import { DEFAULT_POLICY, type Policy } from "../../site-agent/src/policy.ts";
import { initHome, type Home } from "../../site-agent/src/home/home.ts";
import { storeGlobalModel } from "../../site-agent/src/home/models.ts";
import { privacyGuard } from "../../site-agent/src/privacy/guard.ts";
import { privacyLedger } from "../../site-agent/src/privacy/ledger.ts";
import { readPrivacyPolicy } from "../../site-agent/src/privacy/policy.ts";
import type { LocalRoundRequest, Trainer } from "../../site-agent/src/training/types.ts";

export const random: RandomBytes = (length) => new Uint8Array(randomBytes(length));

export interface ArithmeticTrainer extends Trainer {
  /** Every training that was begun, in order. */
  readonly begun: { readonly round: number; readonly optimizerStep: number | null }[];
}

/**
 * Adds `delta` to every weight in each round. Its moments count the rounds.
 * @param elements size of the model
 * @param before is awaited at the start of each training; rejects or waits as the test likes
 */
export function arithmeticTrainer(
  delta: number,
  elements = 1000,
  before: (request: LocalRoundRequest, signal: AbortSignal) => Promise<unknown> = () => Promise.resolve(),
): ArithmeticTrainer {
  const manifest: Manifest = { tensors: [{ name: "weight", shape: [elements], dtype: "float32" }] };
  const begun: ArithmeticTrainer["begun"] = [];
  return {
    begun,
    genesis: (_plan, start) => {
      // Of the file that a plan starts from it takes the first byte: enough to tell that it was there.
      const offset = start?.[0] ?? 0;
      const values = Float32Array.from({ length: elements }, (_, i) => offset + i / elements);
      return Promise.resolve({ manifest, values, changes: [] });
    },
    countImages: () => Promise.resolve(10),
    async train(request, onProgress, signal) {
      const { round, optimizerState } = request;
      begun.push({ round, optimizerStep: optimizerState?.step ?? null });
      onProgress({ step: 1, steps: 2, loss: 1 / round, imagesPerSecond: 100 });
      await before(request, signal);
      signal.throwIfAborted();
      onProgress({ step: 2, steps: 2, loss: 1 / round, imagesPerSecond: 100 });
      return {
        delta: new Float32Array(elements).fill(delta),
        examples: 10,
        metrics: {
          loss: 1 / round,
          finalLoss: 1 / round,
          steps: 2,
          updateNorm: Math.abs(delta) * Math.sqrt(elements),
          trainingMs: 1,
        },
        optimizerState: {
          step: (optimizerState?.step ?? 0) + 1,
          firstMoment: new Float32Array(elements).fill(round),
          secondMoment: new Float32Array(elements),
        },
      };
    },
    close: () => Promise.resolve(),
  };
}

export interface AgentRun {
  readonly result: Promise<AgentResult>;
  readonly reports: AgentReport[];
  /** How its images compare with the others', as it was told. */
  readonly cohorts: CohortReport[];
  /** The first report, of those so far and those to come, that matches; rejects if the agent ends before. */
  waitFor(matches: (report: AgentReport) => boolean): Promise<AgentReport>;
  stop(): Promise<void>;
}

export interface RunOptions {
  /** What its images are like, or how it finds out; nothing is known of them by default. */
  readonly fingerprint?: Uint32Array | (() => Promise<Uint32Array>);
  /** Another key than the one that was pinned, to play an impostor's victim. */
  readonly pinned?: PublicIdentity;
  readonly onRoster?: (news: RosterNews) => void;
  /** A clock of its own. */
  readonly nowMs?: () => number;
  /** Of the waits between tries, how much is waited. */
  readonly patience?: number;
  /** Called at the very moment of a report; may stop the agent. */
  readonly onReport?: (report: AgentReport, stop: AbortController) => void;
}

/** Plans need no approval, and a site alone is a federation. */
export const OPEN_POLICY: Policy = {
  ...DEFAULT_POLICY,
  requireSecureAggregation: false,
  planApproval: "automatic",
  minCohort: 1,
};

export class TestFederation {
  readonly folder: string;
  readonly plan: Plan;
  coordinator: Coordinator;
  readonly #settings: Partial<CoordinatorOptions>;

  private constructor(
    folder: string,
    plan: Plan,
    coordinator: Coordinator,
    settings: Partial<CoordinatorOptions>,
  ) {
    this.folder = folder;
    this.plan = plan;
    this.coordinator = coordinator;
    this.#settings = settings;
  }

  /** Updates are not masked unless the plan says so. */
  static async start(
    plan: Partial<PlanInput> & Pick<PlanInput, "rounds" | "minSites">,
    settings: Partial<CoordinatorOptions> = {},
  ): Promise<TestFederation> {
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-agent-"));
    const parsed = parsePlan({
      federation: "lungs",
      title: "Arithmetic",
      training: { warmupRounds: 0 },
      aggregation: { secure: "plain" },
      ...plan,
    });
    return new TestFederation(folder, parsed, await coordinatorIn(folder, parsed, 0, settings), settings);
  }

  get port(): number {
    return Number(new URL(this.coordinator.url).port);
  }

  get coordinatorHome(): string {
    return path.join(this.folder, "coordinator");
  }

  /**
   * As a service manager would after a crash: the same home, the same port.
   * @param between what happens to the home before
   */
  async restartCoordinator(between: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const { port } = this;
    await this.coordinator.close();
    await between();
    this.coordinator = await coordinatorIn(this.folder, this.plan, port, this.#settings);
  }

  async invite(site: string): Promise<string> {
    const { url } = await readOperatorAccess(path.join(this.folder, "coordinator"));
    const response = await fetch(new URL(`api/federations/${this.plan.federation}/invitations`, url), {
      method: "POST",
      headers: {
        authorization: `Bearer ${this.coordinator.operatorToken}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({ site }),
    });
    const { token } = (await response.json()) as { token: string };
    return token;
  }

  /**
   * A site with a new home that has joined; its policy asks nobody unless told otherwise.
   * @param url where it finds the coordinator, for example a proxy
   */
  async site(
    name: string,
    url = this.coordinator.url,
    policy: Partial<Policy> = {},
    tls: NetworkTls = {},
  ): Promise<TestSite> {
    const site = name as SiteId;
    const { home, identity } = await initHome(path.join(this.folder, name), site, random, false);
    const token = parseToken(await this.invite(name));
    const { send } = enrol({
      site,
      identity,
      coordinatorUrl: `${url}/`,
      token,
      fetch: openNetwork(url, { env: {}, tls, direct: fetch }).fetch,
      signal: new AbortController().signal,
    });
    await home.enrol(await send());
    await home.setPolicy({ ...OPEN_POLICY, ...policy });
    return new TestSite(home, tls);
  }

  /**
   * As a disk that loses every masked vector of a round with the first release. The coordinator starts again when they are all
   * there, so that their sum is not in its memory either.
   */
  async loseVectorsOnRelease(round: number): Promise<void> {
    await this.#committed(
      (fact) => fact.fact === "masking.advanced" && fact.round === round && fact.step === "consistency",
    );
    await this.restartCoordinator();
    await this.#committed(
      (fact) => fact.fact === "masking.answered" && fact.round === round && fact.message.step === "unmask",
    );
    this.#loseVectors();
  }

  #committed(isIt: (fact: Fact) => boolean): Promise<void> {
    return new Promise((resolve) => {
      for (const service of this.coordinator.federations.all()) {
        service.subscribe(({ facts }) => {
          if (facts.some(isIt)) resolve();
        });
      }
    });
  }

  #loseVectors(): void {
    const blobs = path.join(this.folder, "coordinator", "blobs");
    for (const name of readdirSync(blobs, { recursive: true, encoding: "utf8" })) {
      const file = path.join(blobs, name);
      if (statSync(file).isFile() && isMaskedFrame(readFileSync(file))) rmSync(file);
    }
  }

  async close(): Promise<void> {
    await this.coordinator.close();
    // An agent that was stopped may still be writing its last file.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class TestSite {
  readonly home: Home;
  readonly #tls: NetworkTls;

  constructor(home: Home, tls: NetworkTls = {}) {
    this.home = home;
    this.#tls = tls;
  }

  run(trainer: Trainer, options: RunOptions = {}): AgentRun {
    const { onReport } = options;
    const stop = new AbortController();
    const reports: AgentReport[] = [];
    const cohorts: CohortReport[] = [];
    let wake: () => void = () => undefined;
    const onCohort = (cohort: CohortReport): void => {
      cohorts.push(cohort);
      wake();
    };
    const result = this.#run(trainer, options, onCohort, stop.signal, (report) => {
      reports.push(report);
      onReport?.(report, stop);
      wake();
    });
    let ended = false;
    const settle = (): void => {
      ended = true;
      wake();
    };
    result.then(settle, settle);
    return {
      result,
      reports,
      cohorts,
      async waitFor(matches) {
        for (;;) {
          const found = reports.find(matches);
          if (found !== undefined) return found;
          if (ended) throw new Error("the agent ended before it reported so");
          await new Promise<void>((resolve) => (wake = resolve));
        }
      },
      async stop() {
        stop.abort();
        await result.catch(() => undefined);
      },
    };
  }

  async #run(
    trainer: Trainer,
    {
      pinned,
      patience = 0.1,
      fingerprint = new Uint32Array(FINGERPRINT_LENGTH),
      onRoster = () => undefined,
      nowMs = Date.now,
    }: RunOptions,
    onCohort: (cohort: CohortReport) => void,
    signal: AbortSignal,
    report: (report: AgentReport) => void,
  ): Promise<AgentResult> {
    const { home } = this;
    const { site, enrolment, plan } = await home.joined();
    const coordinator = pinned ?? enrolment.coordinator;
    const network = openNetwork(enrolment.coordinatorUrl, { env: {}, tls: this.#tls, direct: fetch });
    return runAgent(
      {
        http: httpClient(enrolment.coordinatorUrl, network.fetch),
        sockets: network.sockets,
        checkpoints: checkpointFolder(home.checkpointsFolder),
        outbox: outboxFolder(home.federationFolder),
        receipts: receiptsFile(home.receiptsFile),
        masking: { folder: maskingFolder(home.federationFolder) },
        pins: pinsFile(home.rosterFile),
        onRoster,
        auditHeads: witnessedHeads(home.auditHeadsFile),
        gate: new Gate(
          { policy: () => home.policy(), receipts: receiptsFile(home.receiptsFile), nowMs },
          plan,
        ),
        trainer,
        privacy: privacyGuard(
          {
            ledger: privacyLedger(home.privacyLedgerFile),
            policy: () => readPrivacyPolicy(home.privacyPolicyFile),
            nowMs: Date.now,
          },
          { plan, cohort: "train", cacheDir: home.cacheFolder("train") },
        ),
        random,
        nowMs,
        // Patience is for people: a tenth of it is enough here.
        sleep: (durationMs, until) =>
          delay(durationMs * patience, undefined, { signal: until }).catch(() => undefined),
        report,
        fingerprint: typeof fingerprint === "function" ? fingerprint : () => Promise.resolve(fingerprint),
        cohortFile: cohortFile(home.federationFolder),
        onCohort,
        storeGlobalModel: (checkpoint, record) => storeGlobalModel(home, checkpoint, record, coordinator),
      },
      {
        membership: { federation: plan.federation, site, identity: await home.identity(), coordinator },
        plan,
        coordinatorUrl: enrolment.coordinatorUrl,
        training: { cacheDir: home.cacheFolder("train"), engine: { threads: 1, device: "cpu" } },
        software: "consilium-site/test",
        signal,
      },
    );
  }
}

export const isMaskedFrame = (bytes: Buffer): boolean => bytes.toString("latin1", 0, 4) === "CSLS";

function coordinatorIn(
  folder: string,
  plan: Plan,
  port: number,
  settings: Partial<CoordinatorOptions>,
): Promise<Coordinator> {
  const home = path.join(folder, "coordinator");
  return startCoordinator({ home, port, plan, random, gatherMs: 100, ...settings });
}
