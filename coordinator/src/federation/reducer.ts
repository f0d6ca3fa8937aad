/**
 * The round reducer: (state, event) -> {state, facts, effects}. Pure, so that recovery is the same code as the first run.
 *
 * waiting -> open -> aggregating -> open ... -> finished; from open and aggregating back to waiting, or straight to the
 * next attempt, when too few contributions are left.
 */
import type { Attempt, Round, SiteId } from "@consilium/shared/ids";
import type { UploadOutcome } from "@consilium/shared/protocol/events";
import type { ContributionHeader } from "@consilium/shared/protocol/round";
import { toContribution } from "./ledger.ts";
import type {
  AggregatingPosition,
  Exclusion,
  FederationEvent,
  FederationState,
  OpenPosition,
  Position,
  Rules,
  Transition,
} from "./types.ts";

export const FIRST_ROUND = 1 as Round;
export const FIRST_ATTEMPT = 1 as Attempt;

export function initialState(rules: Rules): FederationState {
  return {
    rules,
    roster: [],
    connected: [],
    genesisClaim: null,
    genesis: null,
    checkpoint: null,
    position: { phase: "waiting", round: FIRST_ROUND, attempt: FIRST_ATTEMPT, gathering: false },
  };
}

export function transition(state: FederationState, event: FederationEvent): Transition {
  switch (event.type) {
    case "site.enrolled":
      return tryOpen({ ...state, roster: withSite(state.roster, event.site) }, event.atMs);
    case "site.connected": {
      const connected = withSite(state.connected, event.site);
      const claim =
        state.genesis === null ? (state.genesisClaim ?? { site: event.site, sha256: event.genesis }) : null;
      return tryOpen({ ...state, connected, genesisClaim: claim }, event.atMs);
    }
    case "site.disconnected":
      return tryOpen(withoutSite(state, event.site), event.atMs);
    case "genesis.uploaded":
      return genesisUploaded(state, event);
    case "contribution.received":
      return contributionReceived(state, event);
    case "contribution.refused":
      return contributionRefused(state, event);
    case "contribution.lost":
      return contributionLost(state, event);
    case "deadline.passed":
      return deadlinePassed(state, event);
    case "gathering.ended":
      return tryOpen(state, event.atMs, { evenIfIncomplete: true });
    case "round.aggregated":
      return roundAggregated(state, event);
    case "coordinator.recovered":
      return recovered(state, event.atMs);
  }
}

/** What would become of this contribution now; `wanted` means that its bytes should be sent. */
export function judge(state: FederationState, header: ContributionHeader): UploadOutcome | "wanted" {
  const { position } = state;
  if (position.phase !== "open" && position.phase !== "aggregating") return "stale";
  if (header.round !== position.round || header.attempt !== position.attempt) return "stale";
  if (position.contributions.some(({ site }) => site === header.site)) return "duplicate";
  if (position.phase === "aggregating" || !position.cohort.includes(header.site)) return "stale";
  return header.base === position.base ? "wanted" : "stale";
}

/** The initial model that a newcomer must have derived as well; null while nobody has named one. */
export function expectedGenesis(state: FederationState) {
  return state.genesis ?? state.genesisClaim?.sha256 ?? null;
}

type EventOf<T extends FederationEvent["type"]> = Extract<FederationEvent, { type: T }>;

function genesisUploaded(state: FederationState, event: EventOf<"genesis.uploaded">): Transition {
  if (state.genesis !== null) return unchanged(state);
  const { sha256 } = event.record.body;
  const next = tryOpen({ ...state, genesis: sha256, checkpoint: sha256, genesisClaim: null }, event.atMs);
  return { ...next, facts: [{ fact: "genesis.stored", record: event.record }, ...next.facts] };
}

function contributionReceived(state: FederationState, event: EventOf<"contribution.received">): Transition {
  const { position } = state;
  const header = event.header.body;
  if (position.phase !== "open" || judge(state, header) !== "wanted") return unchanged(state);
  const next = closeIfComplete(
    withPosition(state, {
      ...position,
      contributions: [...position.contributions, toContribution(header)].sort(bySite),
      refused: position.refused.filter((refusal) => refusal.site !== header.site),
    }),
  );
  return { ...next, facts: [{ fact: "contribution.accepted", header: event.header }, ...next.facts] };
}

function contributionRefused(state: FederationState, event: EventOf<"contribution.refused">): Transition {
  const { position } = state;
  if (position.phase !== "open" || !isCurrent(position, event)) return unchanged(state);
  const { site, reason } = event;
  const known = position.contributions.some((contribution) => contribution.site === site);
  if (known || !position.cohort.includes(site)) return unchanged(state);
  const others = position.refused.filter((refusal) => refusal.site !== site);
  return closeIfComplete(
    withPosition(state, { ...position, refused: [...others, { site, reason }].sort(bySite) }),
  );
}

function contributionLost(state: FederationState, event: EventOf<"contribution.lost">): Transition {
  const { position } = state;
  const { site, reason } = event;
  if (position.phase !== "open" && position.phase !== "aggregating") return unchanged(state);
  if (!isCurrent(position, event)) return unchanged(state);
  const contributions = position.contributions.filter((contribution) => contribution.site !== site);
  if (contributions.length === position.contributions.length) return unchanged(state);
  const dropped = {
    fact: "contribution.dropped",
    round: position.round,
    attempt: position.attempt,
    site,
    reason,
  } as const;
  if (position.phase === "open") {
    return { state: withPosition(state, { ...position, contributions }), facts: [dropped], effects: [] };
  }
  const left: AggregatingPosition = {
    ...position,
    contributions,
    excluded: [...position.excluded, { site, reason }].sort(bySite),
  };
  if (contributions.length < state.rules.minSites) {
    const next = abandon(state, left, left.excluded, event.atMs);
    return { ...next, facts: [dropped, ...next.facts] };
  }
  return {
    state: withPosition(state, left),
    facts: [dropped, closedFact(left)],
    effects: [{ effect: "aggregate", position: left }],
  };
}

function deadlinePassed(state: FederationState, event: EventOf<"deadline.passed">): Transition {
  const { position } = state;
  if (position.phase !== "open" || !isCurrent(position, event)) return unchanged(state);
  const excluded = missing(state, position);
  return position.contributions.length >= state.rules.minSites
    ? close(state, position, excluded)
    : abandon(state, position, excluded, event.atMs);
}

function roundAggregated(state: FederationState, event: EventOf<"round.aggregated">): Transition {
  const { position } = state;
  const { round, sha256 } = event.record.body;
  if (position.phase !== "aggregating" || !isCurrent(position, { round, attempt: event.attempt })) {
    return unchanged(state);
  }
  const aggregated = {
    fact: "round.aggregated",
    round: position.round,
    attempt: position.attempt,
    record: event.record,
  } as const;
  const updated = { ...state, checkpoint: sha256 };
  if (round >= state.rules.rounds) {
    return {
      state: withPosition(updated, { phase: "finished" }),
      facts: [aggregated, { fact: "federation.finished", checkpoint: sha256 }],
      effects: [{ effect: "discard-spent" }],
    };
  }
  const next = openNext(updated, (round + 1) as Round, FIRST_ATTEMPT, event.atMs);
  return {
    ...next,
    facts: [aggregated, ...next.facts],
    effects: [{ effect: "discard-spent" }, ...next.effects],
  };
}

/** Deadlines count from the re-opening: the sites could not work while nobody was there. */
function recovered(state: FederationState, atMs: number): Transition {
  const alone = { ...state, connected: [], genesisClaim: null };
  const { position } = alone;
  switch (position.phase) {
    case "open": {
      const reopened = { ...position, deadlineAtMs: atMs + state.rules.roundDeadlineMs };
      const next = closeIfComplete(withPosition(alone, reopened));
      return { ...next, effects: [awaitDeadline(state.rules, reopened), ...next.effects] };
    }
    case "aggregating":
      return { state: alone, facts: [], effects: [{ effect: "aggregate", position }] };
    case "waiting":
      return unchanged(withPosition(alone, { ...position, gathering: false }));
    case "finished":
      return unchanged(alone);
  }
}

/** Opens the waiting round once enough sites are there; with some of the roster absent, after a moment's grace. */
function tryOpen(
  state: FederationState,
  atMs: number,
  { evenIfIncomplete = false }: { evenIfIncomplete?: boolean } = {},
): Transition {
  const { position, rules, connected, roster } = state;
  if (position.phase !== "waiting") return unchanged(state);
  if (state.checkpoint === null || connected.length < rules.minSites) {
    return unchanged(withPosition(state, { ...position, gathering: false }));
  }
  if (connected.length >= roster.length || evenIfIncomplete) {
    return open(state, position.round, position.attempt, atMs);
  }
  if (position.gathering) return unchanged(state);
  return {
    state: withPosition(state, { ...position, gathering: true }),
    facts: [],
    effects: [{ effect: "await-gathering", afterMs: rules.gatherMs }],
  };
}

/** Straight on with whoever is connected; sites that are away take part from a later round. */
function openNext(state: FederationState, round: Round, attempt: Attempt, atMs: number): Transition {
  return state.connected.length >= state.rules.minSites
    ? open(state, round, attempt, atMs)
    : unchanged(withPosition(state, { phase: "waiting", round, attempt, gathering: false }));
}

function open(state: FederationState, round: Round, attempt: Attempt, atMs: number): Transition {
  if (state.checkpoint === null) throw new Error("a round needs a model to start from");
  const position: OpenPosition = {
    phase: "open",
    round,
    attempt,
    base: state.checkpoint,
    cohort: state.connected,
    openedAtMs: atMs,
    deadlineAtMs: atMs + state.rules.roundDeadlineMs,
    contributions: [],
    refused: [],
  };
  return {
    state: withPosition(state, position),
    facts: [{ fact: "round.opened", round, attempt, base: position.base, cohort: position.cohort }],
    effects: [awaitDeadline(state.rules, position)],
  };
}

function closeIfComplete(state: FederationState): Transition {
  const { position, rules } = state;
  if (position.phase !== "open") return unchanged(state);
  const answered = position.contributions.length + position.refused.length;
  const complete = answered === position.cohort.length && position.contributions.length >= rules.minSites;
  return complete ? close(state, position, missing(state, position)) : unchanged(state);
}

function close(state: FederationState, position: OpenPosition, excluded: readonly Exclusion[]): Transition {
  const { round, attempt, base, cohort, openedAtMs, contributions } = position;
  const closed: AggregatingPosition = {
    phase: "aggregating",
    round,
    attempt,
    base,
    cohort,
    openedAtMs,
    contributions,
    excluded,
  };
  return {
    state: withPosition(state, closed),
    facts: [closedFact(closed)],
    effects: [{ effect: "aggregate", position: closed }],
  };
}

function abandon(
  state: FederationState,
  { round, attempt }: OpenPosition | AggregatingPosition,
  excluded: readonly Exclusion[],
  atMs: number,
): Transition {
  const next = openNext(state, round, (attempt + 1) as Attempt, atMs);
  return {
    state: next.state,
    facts: [{ fact: "round.abandoned", round, attempt, excluded }, ...next.facts],
    effects: [{ effect: "discard-spent" }, ...next.effects],
  };
}

/** Who of the cohort has not contributed, and why. */
function missing(state: FederationState, position: OpenPosition): readonly Exclusion[] {
  const contributed = new Set(position.contributions.map(({ site }) => site));
  return position.cohort
    .filter((site) => !contributed.has(site))
    .map(
      (site) =>
        position.refused.find((refusal) => refusal.site === site) ?? {
          site,
          reason: state.connected.includes(site) ? "no update before the deadline" : "not connected",
        },
    );
}

const closedFact = ({ round, attempt, excluded }: AggregatingPosition) =>
  ({ fact: "round.closed", round, attempt, excluded }) as const;

const awaitDeadline = (rules: Rules, { round, attempt }: OpenPosition) =>
  ({ effect: "await-deadline", round, attempt, afterMs: rules.roundDeadlineMs }) as const;

const isCurrent = (
  position: OpenPosition | AggregatingPosition,
  { round, attempt }: { readonly round: number; readonly attempt: number },
) => position.round === round && position.attempt === attempt;

const unchanged = (state: FederationState): Transition => ({ state, facts: [], effects: [] });

const withPosition = (state: FederationState, position: Position): FederationState => ({
  ...state,
  position,
});

const withSite = (sites: readonly SiteId[], site: SiteId): readonly SiteId[] =>
  sites.includes(site) ? sites : [...sites, site].sort();

/** Whoever was asked for the initial model and has left no longer speaks for it; the hash it named still counts. */
function withoutSite(state: FederationState, site: SiteId): FederationState {
  const connected = state.connected.filter((other) => other !== site);
  const { genesisClaim } = state;
  if (genesisClaim?.site !== site) return { ...state, connected };
  const [heir] = connected;
  return {
    ...state,
    connected,
    // All connected sites derived the same hash, or they would have been turned away.
    genesisClaim: heir === undefined ? null : { site: heir, sha256: genesisClaim.sha256 },
  };
}

const bySite = (a: { readonly site: SiteId }, b: { readonly site: SiteId }): number =>
  a.site < b.site ? -1 : a.site > b.site ? 1 : 0;
