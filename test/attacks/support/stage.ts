/** A federation of real agents and a real coordinator, with a tampering proxy before every site. */
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Identity } from "@consilium/shared/crypto/identity";
import { toConsiliumError } from "@consilium/shared/errors";
import type { SiteId } from "@consilium/shared/ids";
import type { FederationPosition } from "@consilium/shared/protocol/events";
import type { MaskingShown, ShownIn } from "@consilium/shared/protocol/masking";
import { isFingerprintRound, type MaskingStep } from "@consilium/shared/protocol/round";
import type { PlanInput } from "@consilium/shared/plan";
import { openHome } from "../../../coordinator/src/home.ts";
import type { FederationService } from "../../../coordinator/src/federation/service.ts";
import type { Fact } from "../../../coordinator/src/federation/types.ts";
import { readModel } from "../../../site-agent/src/home/models.ts";
import type { Trainer } from "../../../site-agent/src/training/types.ts";
import {
  arithmeticTrainer,
  random,
  TestFederation,
  type AgentRun,
  type TestSite,
} from "../../support/federation.ts";
import { TamperingProxy, type Tampering } from "./tampering-proxy.ts";

/** Of each site's update, in every element: 1e-5 for the first, 2e-5 for the second, ... */
export const DELTA = 1e-5;
const PATIENCE_MS = 100_000;

export interface Actor {
  readonly name: SiteId;
  readonly site: TestSite;
  readonly proxy: TamperingProxy;
  readonly identity: Identity;
  run: AgentRun | null;
}

export type OpenPosition = Extract<FederationPosition, { phase: "open" }>;

export class Stage {
  readonly federation: TestFederation;
  readonly actors: readonly Actor[];
  /** The coordinator's own key: a malicious coordinator signs with it whatever it likes. */
  readonly coordinatorKey: Identity;
  /** Everything that the coordinator has committed. */
  readonly facts: Fact[] = [];

  private constructor(federation: TestFederation, actors: readonly Actor[], coordinatorKey: Identity) {
    this.federation = federation;
    this.actors = actors;
    this.coordinatorKey = coordinatorKey;
    this.service.subscribe(({ facts }) => {
      // What the images are like is summed in a round of its own before.
      this.facts.push(...facts.filter((fact) => !("round" in fact && isFingerprintRound(fact.round))));
    });
  }

  /** Enrolled, not running yet. */
  static async set(
    names: readonly string[],
    plan: Partial<PlanInput> & Pick<PlanInput, "rounds" | "minSites">,
  ): Promise<Stage> {
    const federation = await TestFederation.start({ aggregation: { examplesCap: 10 }, ...plan });
    const actors = await Promise.all(
      names.map(async (name): Promise<Actor> => {
        const proxy = await TamperingProxy.start(federation.coordinator.url);
        const site = await federation.site(name, proxy.url);
        return { name: name as SiteId, site, proxy, identity: await site.home.identity(), run: null };
      }),
    );
    const { identity } = await openHome(path.join(federation.folder, "coordinator"), random);
    return new Stage(federation, actors, identity);
  }

  get service(): FederationService {
    const [service] = this.federation.coordinator.federations.all();
    if (service === undefined) throw new Error("the coordinator has one federation");
    return service;
  }

  actor(name: string): Actor {
    const found = this.actors.find((actor) => actor.name === name);
    if (found === undefined) throw new Error("no such site on this stage");
    return found;
  }

  tamper(name: string, tampering: Tampering): void {
    this.actor(name).proxy.tampering = tampering;
  }

  /** Raises the curtain. @param trainers of single sites, instead of the one that adds the site's number */
  play(trainers: Readonly<Record<string, Trainer>> = {}): void {
    for (const [i, actor] of this.actors.entries()) {
      actor.run = actor.site.run(trainers[actor.name] ?? arithmeticTrainer(DELTA * (i + 1)));
      actor.run.result.catch(() => undefined);
    }
  }

  /** How a site's agent ended, where it ended with an error. */
  async failure(name: string): Promise<{ readonly code: string; readonly culprits: readonly string[] }> {
    const { run } = this.actor(name);
    const error = await run?.result.then(
      () => null,
      (thrown: unknown) => toConsiliumError(thrown),
    );
    if (error === undefined || error === null) throw new Error("the agent did not fail");
    if (error.code === "internal") throw error;
    return { code: error.code, culprits: error.culprits };
  }

  /** Why a site has no part in an attempt any more, as it says to the coordinator: `code`, or `code: culprits`. */
  async satOut(name: string): Promise<string> {
    const { proxy } = this.actor(name);
    await until(() => proxy.satOut.length > 0);
    const { reason = "", culprits = [] } = proxy.satOut[0] ?? {};
    return [reason, culprits.join(", ")].filter((part) => part !== "").join(": ");
  }

  /** The sites' global model after the last round, as one of them keeps it. */
  async globalModel(name: string): Promise<Float32Array> {
    const actor = this.actor(name);
    await actor.run?.result;
    return (await readModel(actor.site.home, "global")).values;
  }

  async fact<Kind extends Fact["fact"]>(kind: Kind): Promise<Extract<Fact, { fact: Kind }>> {
    const isOf = (fact: Fact): fact is Extract<Fact, { fact: Kind }> => fact.fact === kind;
    await until(() => this.facts.some(isOf));
    const found = this.facts.find(isOf);
    if (found === undefined) throw new Error("it was there");
    return found;
  }

  /** Waits until the coordinator has counted a site's message of this step. */
  async answered(name: string, step: MaskingStep): Promise<Extract<Fact, { fact: "masking.answered" }>> {
    const isIt = (fact: Fact): fact is Extract<Fact, { fact: "masking.answered" }> =>
      fact.fact === "masking.answered" && fact.site === name && fact.message.step === step;
    await until(() => this.facts.some(isIt));
    const found = this.facts.find(isIt);
    if (found === undefined) throw new Error("it was there");
    return found;
  }

  /** The newest position that the coordinator told this site while a round was open. */
  openPosition(name: string): OpenPosition {
    const isOpen = (position: FederationPosition): position is OpenPosition => position.phase === "open";
    const found = this.actor(name).proxy.positions.filter(isOpen).at(-1);
    if (found === undefined) throw new Error("no round was opened");
    return found;
  }

  /** Tells a site that this step is on and waits for it, whatever the coordinator thinks. */
  callFor(name: string, step: MaskingStep): void {
    this.actor(name).proxy.push({ ...this.openPosition(name), masking: { step, wanted: true } });
  }

  async strike(): Promise<void> {
    await Promise.all(this.actors.map(async ({ run }) => run?.stop()));
    await Promise.all(this.actors.map(({ proxy }) => proxy.close()));
    await this.federation.close();
  }
}

/** Rewrites what is shown in one step and leaves the others alone. */
export function inStep<Step extends MaskingStep>(
  step: Step,
  change: (shown: ShownIn<Step>) => MaskingShown,
): (shown: MaskingShown) => MaskingShown {
  const isOf = (shown: MaskingShown): shown is ShownIn<Step> => shown.step === step;
  return (shown) => (isOf(shown) ? change(shown) : shown);
}

export async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + PATIENCE_MS;
  while (!holds()) {
    if (Date.now() > deadlineMs) throw new Error("it did not come to that");
    await delay(10);
  }
}
