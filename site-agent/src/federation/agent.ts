/** The agent: runs the state machine's effects against the coordinator, the trainer and the disk. */
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { siteIdSchema, type Sha256 } from "@consilium/shared/ids";
import { planHash, type Plan } from "@consilium/shared/plan";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { EarlyEnd } from "@consilium/shared/protocol/round";
import { PROTOCOL_VERSION } from "@consilium/shared/protocol/version";
import type { Holding } from "../governance/holding.ts";
import type { Trainer } from "../training/types.ts";
import { asPercent, NO_PROGRESS, waitingFor, type AgentReport } from "./agent-report.ts";
import { backoffMs } from "./backoff.ts";
import { mayHaveSum, PlainCohort, type Cohort, type CohortPorts } from "./cohort.ts";
import { firstModel } from "./first-model.ts";
import { leftReady } from "./left-ready.ts";
import {
  initialState,
  transition,
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  type SatOut,
  type Task,
} from "./machine.ts";
import { SummedCohort } from "./masked-cohort.ts";
import type { SocketSettings } from "./network.ts";
import { phaseOf, SITE_PHASE } from "./phase.ts";
import { ProgressRecord } from "./progress-record.ts";
import { recorder } from "./recorded.ts";
import { openSession, type Membership } from "./session.ts";
import { believe } from "./standing.ts";
import { keepingStart } from "./starting-model.ts";
import { Tasks, type LocalTraining, type TaskPorts, type TaskProgress } from "./tasks.ts";
import { trainingSeed } from "./training-seed.ts";
import { connectLink, type Link } from "./transport.ts";

export interface AgentPorts extends TaskPorts, CohortPorts {
  readonly trainer: Trainer;
  /** The way to the coordinator, where it is not the plain one. */
  readonly sockets?: SocketSettings;
  /** Resolves early when the signal fires. */
  readonly sleep: (durationMs: number, signal: AbortSignal) => Promise<void>;
  readonly report: (report: AgentReport) => void;
}

export interface AgentOptions {
  readonly membership: Membership;
  readonly plan: Plan;
  /** Ends with a slash. */
  readonly coordinatorUrl: string;
  readonly training: Omit<LocalTraining, "seed">;
  readonly software: string;
  readonly signal: AbortSignal;
}

export interface AgentResult {
  readonly checkpoint: Sha256;
  readonly rounds: number;
  readonly contributions: number;
  readonly sentBytes: number;
  /** Why the federation ended before its last round, as the coordinator says; null if it did not. */
  readonly stopped: EarlyEnd | null;
}

/** Pushes could get lost with a dying connection: whoever has nothing to do asks again now and then. */
const ASK_EVERY_MS = 20_000;
const SHORT_LIFE_MS = 5_000;
/** Progress is advisory; more often than this nobody can read it. */
const PROGRESS_EVERY_MS = 500;

/**
 * Takes part until the federation has finished; losing the coordinator is not a reason to stop.
 * @throws what cannot be mended by waiting: crypto.bad-signature, plan.mismatch, genesis.mismatch, training.*, ...; the
 *   signal's reason when it fires
 */
export async function runAgent(given: AgentPorts, options: AgentOptions): Promise<AgentResult> {
  const { plan, membership, training, signal } = options;
  const ports = { ...given, checkpoints: keepingStart(given.checkpoints, plan) };
  signal.throwIfAborted();
  const examples = await ports.trainer.countImages(plan, training.cacheDir);
  if (examples === 0) throw new ConsiliumError("training.no-images");
  const { genesis, holding } = await firstModel(ports, options);
  const seed = trainingSeed(plan, membership.site);
  const tasks = new Tasks(ports, membership, plan, { ...training, seed }, genesis, holding);
  const agent = new Agent(ports, options, tasks, holding, examples);
  try {
    return await agent.run(initialState(await leftReady(ports, tasks, options)));
  } finally {
    await tasks.close();
  }
}

class Agent {
  readonly #ports: AgentPorts;
  readonly #options: AgentOptions;
  readonly #tasks: Tasks;
  readonly #holding: Holding;
  readonly #progress: ProgressRecord;
  readonly #cohort: Cohort;
  readonly #planHash: Sha256;
  readonly #examples: number;
  readonly #stop = new AbortController();
  readonly #jobs = new Map<number, AbortController>();
  readonly #events: AgentEvent[] = [];
  #state: AgentState = initialState(null).state;
  #link: Link | null = null;
  #lastProgressMs = -Infinity;
  #linkOpenedMs = -Infinity;
  #shortLives = 0;
  #lastFailure = "";
  #ended: (outcome: AgentResult | Error) => void = () => undefined;

  constructor(ports: AgentPorts, options: AgentOptions, tasks: Tasks, holding: Holding, examples: number) {
    this.#ports = ports;
    this.#options = options;
    this.#tasks = tasks;
    this.#holding = holding;
    this.#progress = new ProgressRecord(ports, options.membership.federation);
    this.#examples = examples;
    this.#planHash = planHash(options.plan);
    const { membership } = options;
    this.#cohort = new (this.#isMasked ? SummedCohort : PlainCohort)(ports, membership, this.#planHash);
  }

  async run(first: { state: AgentState; effects: readonly AgentEffect[] }): Promise<AgentResult> {
    const { signal } = this.#options;
    const outcome = new Promise<AgentResult | Error>((resolve) => (this.#ended = resolve));
    const onAbort = (): void => {
      this.#ended(signal.reason instanceof Error ? signal.reason : new DOMException("", "AbortError"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const asking = setInterval(() => {
      if (this.#state.link === "online" && this.#state.work.kind === "idle") void this.#askUnlessHeld();
    }, ASK_EVERY_MS);
    try {
      this.#state = first.state;
      first.effects.forEach((effect) => {
        this.#perform(effect);
      });
      const ended = await outcome;
      if (ended instanceof Error) throw ended;
      return ended;
    } finally {
      clearInterval(asking);
      signal.removeEventListener("abort", onAbort);
      this.#stop.abort();
      for (const job of this.#jobs.values()) job.abort();
      this.#link?.close();
      await this.#progress.close();
    }
  }

  /** Events that arrive while one is handled wait for their turn. */
  #dispatch(event: AgentEvent): void {
    this.#events.push(event);
    if (this.#events.length > 1) return;
    for (let next = this.#events[0]; next !== undefined; next = this.#events[0]) {
      const { state, effects } = transition(this.#state, next);
      const before = this.#state;
      this.#state = state;
      effects.forEach((effect) => {
        this.#perform(effect);
      });
      if (before.link !== state.link || before.work !== state.work) this.#report();
      this.#events.shift();
    }
  }

  #perform(effect: AgentEffect): void {
    switch (effect.type) {
      case "connect":
        void this.#connect();
        break;
      case "hangUp":
        this.#link?.close();
        break;
      case "ask":
        void this.#ask();
        break;
      case "start":
        void this.#start(effect.job, effect.task);
        break;
      case "abort":
        this.#jobs.get(effect.job)?.abort();
        break;
      case "sitOut":
        void this.#sitOut(effect.satOut);
        break;
      case "retryLater":
        void this.#retryLater(effect.job, effect.failures);
        break;
      case "end":
        this.#end();
        break;
    }
  }

  async #start(job: number, task: Task): Promise<void> {
    const controller = new AbortController();
    this.#jobs.set(job, controller);
    const endWatch = task.kind === "training" ? this.#watchHours() : () => undefined;
    try {
      const onProgress = (progress: TaskProgress): void => {
        if (!controller.signal.aborted) this.#report(progress);
      };
      await this.#tasks.run(task, this.#link, onProgress, controller.signal);
      this.#dispatch({ type: "done", job });
    } catch (error) {
      if (controller.signal.aborted) return;
      const known = toConsiliumError(error);
      this.#lastFailure = waitingFor(known);
      this.#dispatch({ type: "failed", job, error: known });
    } finally {
      endWatch();
      this.#jobs.delete(job);
    }
  }

  #watchHours(): () => void {
    return this.#holding.watch(this.#tasks.pause, this.#link?.session ?? null, (text) => {
      this.#report(null, text);
    });
  }

  /** Tries until a link is up, the coordinator refuses this site for good, or the run ends. */
  async #connect(): Promise<void> {
    // A coordinator that accepts and hangs up at once is no better than one that does not answer.
    const wasShort = this.#ports.nowMs() - this.#linkOpenedMs < SHORT_LIFE_MS;
    this.#shortLives = wasShort ? this.#shortLives + 1 : 0;
    if (this.#shortLives > 1) await this.#backOff(this.#shortLives, "the coordinator hung up");
    for (let failures = 1; !this.#stop.signal.aborted; failures++) {
      try {
        await this.#openLink();
        return;
      } catch (error) {
        const known = toConsiliumError(error);
        if (!known.retry) {
          this.#dispatch({ type: "refused", error: known });
          return;
        }
        await this.#backOff(failures, waitingFor(known));
      }
    }
  }

  async #backOff(failures: number, reason: string): Promise<void> {
    const waitMs = backoffMs(failures, this.#ports.random(1)[0] ?? 0);
    this.#report(null, `${reason}; trying again in ${Math.ceil(waitMs / 1000)} s`);
    await this.#ports.sleep(waitMs, this.#stop.signal);
  }

  async #openLink(): Promise<void> {
    const { membership, coordinatorUrl, software } = this.#options;
    const { sockets } = this.#ports;
    const { signal } = this.#stop;
    const session = await openSession(this.#ports, membership, signal);
    const say = (text: string): void => {
      this.#report(null, text);
    };
    await this.#holding.whileHeld(session, say, signal);
    const greeting = { answered: false, overtaken: false };
    const link = await connectLink(
      coordinatorUrl,
      session,
      (position) => {
        if (greeting.answered) this.#follow("position", position);
        else greeting.overtaken = true;
      },
      this.#stop.signal,
      sockets,
    );
    let position: FederationPosition;
    try {
      await this.#cohort.share(link);
      const hello = {
        protocol: PROTOCOL_VERSION,
        software,
        planHash: this.#planHash,
        genesis: this.#tasks.genesisName,
        examples: this.#isMasked ? null : this.#examples,
      };
      const record = recorder(this.#ports, membership.federation);
      position = await record({ kind: "hello" }, JSON.stringify(hello), () => link.hello(hello));
    } catch (error) {
      link.close();
      throw error;
    }
    greeting.answered = true;
    this.#link = link;
    this.#linkOpenedMs = this.#ports.nowMs();
    void link.closed.then((error) => {
      if (this.#link === link) this.#link = null;
      if (error.retry) this.#dispatch({ type: "disconnected" });
      else this.#dispatch({ type: "refused", error });
    });
    this.#follow("connected", position);
    // It came while hello was under way, so it may be older or newer than the answer.
    if (greeting.overtaken) void this.#ask();
  }

  /** A site that may not begin a round leaves before one opens, and comes back when it may. */
  async #askUnlessHeld(): Promise<void> {
    const free = await this.#holding.assertFree().then(
      () => true,
      () => false,
    );
    if (free) await this.#ask();
    else this.#link?.close();
  }

  async #ask(): Promise<void> {
    const link = this.#link;
    if (link === null) return;
    try {
      this.#follow("position", await link.position());
    } catch {
      // Whatever is wrong with the link, a new one begins with the position.
      link.close();
    }
  }

  #follow(type: "connected" | "position", position: FederationPosition): void {
    if (this.#link !== null && mayHaveSum(position)) void this.#compare(this.#link);
    try {
      const { membership, plan } = this.#options;
      this.#dispatch({ type, standing: believe(position, membership, this.#planHash, plan) });
    } catch (error) {
      this.#dispatch({ type: "refused", error: toConsiliumError(error) });
    }
  }

  async #sitOut({ opening: { round, attempt }, reason, culprits }: SatOut): Promise<void> {
    this.#report(
      null,
      `sits attempt ${attempt} out: ${waitingFor(new ConsiliumError(reason, { culprits }))}`,
    );
    const sites = culprits.flatMap((culprit) => siteIdSchema.safeParse(culprit).data ?? []);
    // Where it is not heard, the next position asks again for this site's part.
    const message = { round, attempt, reason, culprits: sites };
    const link = this.#link;
    if (link === null) return;
    const record = recorder(this.#ports, this.#options.membership.federation);
    const about = { kind: "sit-out", round, attempt } as const;
    await record(about, JSON.stringify(message), () => link.sitOut(message)).catch(() => undefined);
  }

  async #compare(link: Link): Promise<void> {
    await this.#cohort.compare(link).catch((error: unknown) => {
      this.#dispatch({ type: "refused", error: toConsiliumError(error) });
    });
  }

  async #retryLater(job: number, failures: number): Promise<void> {
    await this.#backOff(failures, this.#lastFailure);
    this.#dispatch({ type: "retry", job });
  }

  #end(): void {
    const { work } = this.#state;
    if (work.kind === "failed") this.#ended(work.error);
    if (work.kind !== "finished") return;
    const { sha256, round } = work.record.body;
    const stopped = work.stopped ?? null;
    this.#ended({ checkpoint: sha256, rounds: round, ...this.#tasks.tally, stopped });
  }

  /** Tells whoever watches here, and the coordinator. */
  #report(progress: TaskProgress | null = null, note: string | null = null): void {
    const { work, link } = this.#state;
    const opening = work.kind === "busy" && "opening" in work.task ? work.task.opening : null;
    const phase = phaseOf(this.#state);
    const { done, total, loss, imagesPerSecond } = progress ?? NO_PROGRESS;
    const { rounds } = this.#options.plan;
    const round = opening?.round ?? null;
    const attempt = opening?.attempt ?? null;
    this.#ports.report({ phase, round, attempt, rounds, done, total, loss, imagesPerSecond, note });

    const nowMs = this.#ports.nowMs();
    // A clock that was set back must not make this site look silent until it has caught up.
    const sinceMs = Math.abs(nowMs - this.#lastProgressMs);
    const due = progress === null || done === total || sinceMs >= PROGRESS_EVERY_MS;
    if (opening === null || link !== "online" || !due) return;
    this.#lastProgressMs = nowMs;
    const message = {
      round: opening.round,
      attempt: opening.attempt,
      phase: SITE_PHASE[phase],
      ...(this.#isMasked && phase === "training" ? asPercent(done, total) : { done, total }),
      loss: !this.#isMasked && loss !== null && Number.isFinite(loss) ? loss : null,
    };
    this.#progress.send(message, () => this.#link?.progress(message) ?? false);
  }

  /** Then a site's size and loss are its own affair. */
  get #isMasked(): boolean {
    return this.#options.plan.aggregation.secure === "masked";
  }
}
