/**
 * The reducer, the messages that it holds and the real round functions together, with sites that fall silent at any step
 * and a coordinator that starts again at any step: a round ends with the integer sum, or with another attempt.
 */
import { addToBlock } from "@consilium/shared/secagg/ring";
import { sign } from "@consilium/shared/crypto/identity";
import type { Round, SiteId } from "@consilium/shared/ids";
import type { MaskingMessage, MaskingShown, ShownIn } from "@consilium/shared/protocol/masking";
import type { MaskingStep } from "@consilium/shared/protocol/round";
import { openAttempt } from "@consilium/shared/secagg/attempt";
import { foldMasked, openSum } from "@consilium/shared/secagg/coordinator/sum";
import { geometryOf, vectorLayoutSchema } from "@consilium/shared/secagg/layout";
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
import fc from "fast-check";
import { expect, it } from "vitest";
import { federation, hashOf, record } from "../testing/values.ts";
import { Ledger } from "./ledger.ts";
import { MaskedRound } from "./masked-round.ts";
import { restoreState } from "./recovery.ts";
import { transition } from "./reducer.ts";
import { FIRST_ATTEMPT, initialState, withPosition } from "./state.ts";
import type { FederationEvent, FederationState, OpenPosition } from "./types.ts";

const SITES = siteNames(4).map((name) => member(name));
const rules = {
  rounds: 1,
  minSites: 3,
  roundDeadlineMs: 1000,
  gatherMs: 0,
  secure: "masked",
  acceptance: null,
} as const;
const STEPS = ["advertise", "share", "mask", "consistency", "unmask"] as const;
const layout = vectorLayoutSchema.parse({
  sites: SITES.length,
  examplesCap: 100,
  tensors: [{ name: "weight", length: 9, bound: 1 }],
});

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
class Coordinator {
  state: FederationState;
  ledger = new Ledger([], [], []);
  #round: MaskedRound | null = null;

  /** @param round that opens first */
  constructor(round: number) {
    const position = {
      phase: "waiting",
      round: round as Round,
      attempt: FIRST_ATTEMPT,
      gathering: false,
    } as const;
    this.state = withPosition(initialState(rules), position);
  }

  dispatch(event: FederationEvent): void {
    const next = transition(this.state, event);
    for (const fact of next.facts) this.ledger.apply(fact, 0);
    this.state = next.state;
  }

  restart(): void {
    const { rounds, checkpoints } = this.ledger;
    const restored = restoreState(rules, {
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
    const roster = SITES.map(({ site, identity }) => ({ site, identity: identity.public }));
    const signed = { federation, round, attempt, version: 1, members: roster };
    const known = this.#round;
    const terms = known?.terms.attempt.terms;
    if (known !== null && terms?.round === round && terms.attempt === attempt) return known;
    const made = new MaskedRound(
      {
        attempt: openAttempt(opening, roster, layout),
        layout,
        roster: sign("roster", signed, (SITES[0] ?? member("x")).identity),
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
  readonly #self;

  constructor(self: (typeof SITES)[number]) {
    this.#self = self;
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
    const written = writeVector(keep, self, layout, valuesOf(self.site, attempt));
    this.#state = written.keep;
    this.vector = written.vector;
    return { step: "mask", masked: written.broadcast };
  }
}

type Silences = Readonly<Record<MaskingStep, readonly string[]>>;

/** @returns the step in which the attempt was given up; null if it came to its sum */
function runAttempt(
  coordinator: Coordinator,
  silences: Silences,
  restartAt: ReadonlySet<string>,
): MaskingStep | null {
  const { round, attempt } = coordinator.open;
  const sites = new Map(SITES.map((self) => [self.site, new Site(self)]));
  const silent = new Set<string>();
  const { masked } = coordinator;
  for (const step of STEPS) {
    for (const name of silences[step]) silent.add(name);
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

function assertSum(coordinator: Coordinator, sites: ReadonlyMap<SiteId, Site>, attempt: number): void {
  const geometry = geometryOf(layout);
  const unmasking = coordinator.masked.unmasking();
  expect(unmasking.survivors.length).toBeGreaterThanOrEqual(3);
  const sum = new Uint8Array(geometry.totalBytes);
  const exact = new Uint8Array(geometry.totalBytes);
  for (const site of unmasking.survivors) {
    foldMasked(layout, sum, { offset: 0, bytes: sites.get(site)?.vector ?? new Uint8Array(0) });
    const plain = wholeVector(layout, valuesOf(site, attempt), []);
    addToBlock(geometry, { offset: 0, bytes: exact }, plain, 1);
  }
  openSum(layout, unmasking, sum);
  expect(sum).toEqual(exact);
}

function begin(round: number): Coordinator {
  const coordinator = new Coordinator(round);
  for (const { site } of SITES) coordinator.dispatch({ type: "site.enrolled", site, atMs: 0 });
  for (const { site } of SITES) {
    coordinator.dispatch({ type: "site.connected", site, genesis: hashOf("checkpoint 0"), atMs: 0 });
  }
  coordinator.dispatch({ type: "genesis.uploaded", record: record(0), atMs: 0 });
  return coordinator;
}

/** Most lose few sites, so that many come to an end. */
const silence = fc
  .tuple(fc.subarray(siteNames(SITES.length)), fc.nat(3))
  .map(([names, rare]) => (rare === 0 ? names.slice(0, 2) : []));
const silences = fc.record({
  advertise: silence,
  share: silence,
  mask: silence,
  consistency: silence,
  unmask: silence,
});
const nobody: Silences = { advertise: [], share: [], mask: [], consistency: [], unmask: [] };

it("ends an attempt with the integer sum or begins another, whoever falls silent and whenever it starts again", () => {
  const outcomes = { sums: 0, retries: 0 };
  fc.assert(
    fc.property(fc.nat(1), silences, fc.subarray([...STEPS]), (round, dropouts, restarts) => {
      const coordinator = begin(round);
      const { context } = coordinator.masked.terms.attempt;
      const failedIn = runAttempt(coordinator, dropouts, new Set(restarts));
      if (failedIn === null) {
        outcomes.sums += 1;
        return;
      }
      outcomes.retries += 1;
      // What the images are like is in no second sum once shares may have been released.
      const givenUp = round === 0 && failedIn === "unmask";
      expect(coordinator.ledger.cohort !== null).toBe(givenUp);
      const next = givenUp ? { round: 1, attempt: 1 } : { round, attempt: 2 };
      expect(coordinator.open).toMatchObject({ ...next, contributions: [] });
      expect(coordinator.masked.terms.attempt.context).not.toBe(context);
      expect(runAttempt(coordinator, nobody, new Set(restarts))).toBeNull();
    }),
    { numRuns: 10, seed: 4 },
  );
  expect(Math.min(outcomes.sums, outcomes.retries)).toBeGreaterThan(0);
});

/** A round that came to its sum, which then cannot be opened. */
function withGarbledSum(of: 0 | 1): ReturnType<typeof begin> {
  const coordinator = begin(of);
  expect(runAttempt(coordinator, nobody, new Set())).toBeNull();
  const { position } = coordinator.state;
  if (position.phase !== "aggregating") throw new Error("it came to the sum");
  const { round, attempt } = position;
  const failure = { reason: "secagg.garbled", culprits: [] };
  coordinator.dispatch({ type: "attempt.failed", round, attempt, ...failure, atMs: 0 });
  return coordinator;
}

it("gives an attempt up whose sum cannot be opened, and says why", () => {
  const { open, ledger } = withGarbledSum(1);
  expect(open).toMatchObject({ round: 1, attempt: 2 });
  expect(ledger.rounds.at(0)).toMatchObject({ outcome: "abandoned", masking: null });
});

it("goes on to round 1 without a comparison of images where their sum cannot be opened", () => {
  const { open, ledger } = withGarbledSum(0);
  expect(open).toMatchObject({ round: 1, attempt: 1 });
  expect(ledger.cohort).toEqual({ record: null, givenUp: "secagg.garbled" });
});
