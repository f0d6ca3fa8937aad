/**
 * The reducer, the messages that it holds and the real round functions together, in memory, with sites that fall silent at
 * any step and a coordinator that starts again at any step.
 */
import { addToBlock } from "@consilium/shared/secagg/ring";
import { sign } from "@consilium/shared/crypto/identity";
import type { Round, SiteId } from "@consilium/shared/ids";
import type { MaskingMessage, MaskingShown, ShownIn } from "@consilium/shared/protocol/masking";
import type { MaskingStep } from "@consilium/shared/protocol/round";
import { openAttempt, type Self } from "@consilium/shared/secagg/attempt";
import { foldMasked, openSum } from "@consilium/shared/secagg/coordinator/sum";
import { geometryOf, type VectorLayout } from "@consilium/shared/secagg/layout";
import { vectorLayoutSchema } from "@consilium/shared/secagg/layout-schema";
import type { Group } from "@consilium/shared/secagg/groups";
import { advertise, type Advertised } from "@consilium/shared/secagg/site/advertise";
import { consistency } from "@consilium/shared/secagg/site/consistency";
import { mask } from "@consilium/shared/secagg/site/mask";
import { share } from "@consilium/shared/secagg/site/share";
import { unmask } from "@consilium/shared/secagg/site/unmask";
import type { Contributed } from "@consilium/shared/secagg/site/contribute";
import type { Voted } from "@consilium/shared/secagg/site/consistency";
import type { Shared } from "@consilium/shared/secagg/site/share";
import {
  fixedRandom,
  member,
  siteNames,
  wholeVector,
  writeVector,
} from "@consilium/shared/secagg/testing/consortium";
import { expect } from "vitest";
import { federation, hashOf, record } from "./values.ts";
import { Ledger } from "../federation/ledger.ts";
import { MaskedRound } from "../federation/masked-round.ts";
import { restoreState } from "../federation/recovery.ts";
import { transition } from "../federation/reducer.ts";
import { FIRST_ATTEMPT, initialState, withPosition } from "../federation/state.ts";
import type { FederationEvent, FederationState, OpenPosition, Rules } from "../federation/types.ts";

export const STEPS = ["advertise", "share", "mask", "consistency", "unmask"] as const;

/** Who takes part under which rules. */
export interface Setting {
  readonly sites: readonly Self[];
  readonly rules: Rules;
  readonly layout: VectorLayout;
}

/** @param groupSites where groups are summed apart */
export function settingFor(sites: number, minSites: number, groupSites?: number): Setting {
  const grouped = groupSites === undefined ? {} : { groupSites };
  return {
    sites: siteNames(sites).map((name) => member(name)),
    rules: {
      rounds: 1,
      minSites,
      roundDeadlineMs: 1000,
      gatherMs: 0,
      secure: "masked",
      acceptance: null,
      ...grouped,
    },
    layout: vectorLayoutSchema.parse({
      sites,
      examplesCap: 100,
      tensors: [{ name: "weight", length: 9, bound: 1 }],
      ...grouped,
    }),
  };
}

function valuesOf(site: SiteId, attempt: number) {
  const bytes = fixedRandom(`update of ${site}`)(36);
  return {
    update: Float32Array.from(bytes.slice(0, 9), (byte) => byte / 128 - 1),
    examples: 1 + (bytes[9] ?? 0),
    extras: {},
    roundingKey: fixedRandom(`rounding of ${site} ${attempt}`)(32),
  };
}

/** A federation in memory: facts go to a ledger, and a restart reads them from there. */
export class MaskedFederation {
  readonly setting: Setting;
  state: FederationState;
  ledger = new Ledger([], [], []);
  #round: MaskedRound | null = null;

  /** @param round that opens first */
  constructor(setting: Setting, round: number) {
    this.setting = setting;
    const position = {
      phase: "waiting",
      round: round as Round,
      attempt: FIRST_ATTEMPT,
      gathering: false,
    } as const;
    this.state = withPosition(initialState(setting.rules), position);
  }

  dispatch(event: FederationEvent): void {
    const next = transition(this.state, event);
    for (const fact of next.facts) this.ledger.apply(fact, 0);
    this.state = next.state;
  }

  restart(): void {
    const { rounds, checkpoints } = this.ledger;
    const restored = restoreState(this.setting.rules, {
      roster: this.state.roster,
      checkpoints: checkpoints.map(({ body }) => body),
      rounds,
      cohort: this.ledger.cohort,
    });
    expect(restored.position).toEqual(this.state.position);
    this.ledger = new Ledger(rounds, checkpoints, [], this.ledger.cohort);
    this.#round = null;
    this.state = { ...restored, connected: this.state.connected };
  }

  get open(): OpenPosition {
    const { position } = this.state;
    if (position.phase !== "open") throw new Error(`the round is ${position.phase}`);
    return position;
  }

  get step(): MaskingStep | null {
    const { position } = this.state;
    return position.phase === "open" ? (position.masking?.step ?? null) : null;
  }

  get masked(): MaskedRound {
    const row = this.ledger.rounds.at(-1);
    if (row === undefined) throw new Error("no round is open");
    const { round, attempt, base, cohort } = row;
    const opening = { federation, round, attempt, base, cohort, planHash: hashOf("plan") };
    const { sites, layout } = this.setting;
    const roster = sites.map(({ site, identity }) => ({ site, identity: identity.public }));
    const signed = { federation, round, attempt, version: 1, members: roster };
    const known = this.#round;
    const terms = known?.terms.attempt.terms;
    if (known !== null && terms?.round === round && terms.attempt === attempt) return known;
    const made = new MaskedRound(
      {
        attempt: openAttempt(opening, roster, layout),
        layout,
        roster: sign("roster", signed, (sites[0] ?? member("x")).identity),
      },
      () => this.ledger.rounds.at(-1)?.masking?.messages ?? [],
    );
    this.#round = made;
    return made;
  }

  answer(site: SiteId, message: MaskingMessage): void {
    const { round, attempt } = this.open;
    this.masked.admit(site, message);
    // Twice: what is repeated is not counted again.
    for (let i = 0; i < 2; i++) {
      if (this.state.position.phase !== "open") return;
      this.dispatch({ type: "masking.answered", round, attempt, answer: { site, message }, atMs: 0 });
    }
  }

  timeIsUp(): void {
    const { round, attempt, masking } = this.open;
    this.dispatch({ type: "deadline.passed", round, attempt, step: masking?.step, atMs: 0 });
  }
}

/** A site's part, from what it is shown to what it says. */
class Site {
  #state: Advertised | Shared | Contributed | Voted | null = null;
  vector: Uint8Array | null = null;
  readonly #self: Self;
  readonly #layout: VectorLayout;

  constructor(self: Self, layout: VectorLayout) {
    this.#self = self;
    this.#layout = layout;
  }

  /** As this site has drawn them. */
  get groups(): readonly Group[] {
    return this.#state !== null && "mesh" in this.#state ? this.#state.mesh.groups : [];
  }

  say(shown: MaskingShown, masked: MaskedRound, attempt: number): MaskingMessage {
    const self = this.#self;
    const random = fixedRandom(`${self.site} ${attempt} ${shown.step}`);
    switch (shown.step) {
      case "advertise": {
        const { broadcast: keys, keep } = advertise(masked.terms.attempt, self, random);
        this.#state = keep;
        return { step: "advertise", keys };
      }
      case "share": {
        const { broadcast: dealing, keep } = share(this.#state as Advertised, self, shown.keys, random);
        this.#state = keep;
        return { step: "share", dealing };
      }
      case "mask":
        return this.#mask(shown, attempt);
      case "consistency": {
        const { broadcast: vote, keep } = consistency(this.#state as Contributed, self, shown.survivors);
        this.#state = keep;
        return { step: "consistency", vote };
      }
      case "unmask":
        return { step: "unmask", release: unmask(this.#state as Voted, self, shown.agreement).broadcast };
    }
  }

  #mask({ delivery }: ShownIn<"mask">, attempt: number): MaskingMessage {
    const self = this.#self;
    const { keep } = mask(this.#state as Shared, self, delivery);
    const written = writeVector(keep, self, this.#layout, valuesOf(self.site, attempt));
    this.#state = written.keep;
    this.vector = written.vector;
    return { step: "mask", masked: written.broadcast };
  }
}

/** Names of sites that are not heard of from this step on. */
export type Silences = (step: MaskingStep, federation: MaskedFederation) => readonly string[];

/** @returns the step in which the attempt was given up; null if it came to its sum */
export function runAttempt(
  coordinator: MaskedFederation,
  silences: Silences,
  restartAt: ReadonlySet<string>,
): MaskingStep | null {
  const { round, attempt } = coordinator.open;
  const { setting } = coordinator;
  const sites = new Map(setting.sites.map((self) => [self.site, new Site(self, setting.layout)]));
  const silent = new Set<string>();
  const { masked } = coordinator;
  for (const step of STEPS) {
    for (const name of silences(step, coordinator)) silent.add(name);
    const expected = coordinator.open.masking?.expected ?? [];
    const isOurs = () => coordinator.open.round === round && coordinator.open.attempt === attempt;
    const isCurrent = () => coordinator.step === step && isOurs();
    for (const site of expected) {
      if (silent.has(site) || !isCurrent()) continue;
      const speaker = sites.get(site);
      if (speaker === undefined) throw new Error("every member speaks");
      const message = speaker.say(coordinator.masked.show(step, site), masked, attempt);
      if (restartAt.has(step)) coordinator.restart();
      coordinator.answer(site, message);
    }
    if (isCurrent()) coordinator.timeIsUp();
    const { position } = coordinator.state;
    if (position.phase !== "aggregating" && !isOurs()) return step;
  }
  const { position } = coordinator.state;
  if (position.phase !== "aggregating") throw new Error("all steps lead to the sum");
  assertSum(coordinator, sites, attempt);
  return null;
}

/** Of every group that can be opened, the integer sum of its sites' vectors; and all agree on who is in which. */
function assertSum(coordinator: MaskedFederation, sites: ReadonlyMap<SiteId, Site>, attempt: number): void {
  const { layout } = coordinator.setting;
  const geometry = geometryOf(layout);
  for (const unmasking of coordinator.masked.unmaskings().sums) {
    expect(unmasking.survivors.length).toBeGreaterThanOrEqual(3);
    const sum = new Uint8Array(geometry.totalBytes);
    const exact = new Uint8Array(geometry.totalBytes);
    for (const site of unmasking.survivors) {
      const own = sites.get(site);
      foldMasked(layout, sum, { offset: 0, bytes: own?.vector ?? new Uint8Array(0) });
      const plain = wholeVector(layout, valuesOf(site, attempt), []);
      addToBlock(geometry, { offset: 0, bytes: exact }, plain, 1);
      const group = own?.groups.find((one) => one.sites.includes(site));
      for (const other of unmasking.survivors) expect(group?.sites).toContain(other);
    }
    openSum(layout, unmasking, sum);
    expect(sum).toEqual(exact);
  }
}

export function begin(setting: Setting, round: number): MaskedFederation {
  const coordinator = new MaskedFederation(setting, round);
  for (const { site } of setting.sites) coordinator.dispatch({ type: "site.enrolled", site, atMs: 0 });
  for (const { site } of setting.sites) {
    coordinator.dispatch({ type: "site.connected", site, genesis: hashOf("checkpoint 0"), atMs: 0 });
  }
  coordinator.dispatch({ type: "genesis.uploaded", record: record(0), atMs: 0 });
  return coordinator;
}
