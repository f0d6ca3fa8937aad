/** A federation's state as a value: how it begins, and the small changes that its reducer is made of. */
import type { Attempt, Round, SiteId } from "@consilium/shared/ids";
import { FINGERPRINT_ROUND } from "@consilium/shared/protocol/round";
import { NOTHING_TRIED } from "./stopping.ts";
import type {
  AggregatingPosition,
  Exclusion,
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
    accepted: null,
    rollbacks: 0,
    stopping: NOTHING_TRIED,
    // Where updates are masked, so is what the sites' images are like, which is added up before the first update.
    position: {
      phase: "waiting",
      round: rules.secure === "masked" ? FINGERPRINT_ROUND : FIRST_ROUND,
      attempt: FIRST_ATTEMPT,
      gathering: false,
    },
  };
}

export const NO_UPDATE = "no update before the deadline";

/** Who of the cohort has not contributed, and why. */
export function missing(state: FederationState, position: OpenPosition): readonly Exclusion[] {
  const contributed = new Set(position.contributions.map(({ site }) => site));
  return position.cohort
    .filter((site) => !contributed.has(site))
    .map(
      (site) =>
        position.refused.find((refusal) => refusal.site === site) ?? {
          site,
          reason: state.connected.includes(site) ? NO_UPDATE : "not connected",
        },
    );
}

export const isCurrent = (
  position: OpenPosition | AggregatingPosition,
  { round, attempt }: { readonly round: number; readonly attempt: number },
) => position.round === round && position.attempt === attempt;

export const unchanged = (state: FederationState): Transition => ({ state, facts: [], effects: [] });

export const withPosition = (state: FederationState, position: Position): FederationState => ({
  ...state,
  position,
});

export const withSite = (sites: readonly SiteId[], site: SiteId): readonly SiteId[] =>
  sites.includes(site) ? sites : [...sites, site].sort();

/** Whoever was asked for the initial model and has left no longer speaks for it; the hash it named still counts. */
export function withoutSite(state: FederationState, site: SiteId): FederationState {
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

/** A round that is open goes on without what the site has not sent yet. */
export const withoutMember = (state: FederationState, site: SiteId): FederationState => ({
  ...withoutSite(state, site),
  roster: state.roster.filter((other) => other !== site),
});

export const bySite = (a: { readonly site: SiteId }, b: { readonly site: SiteId }): number =>
  a.site < b.site ? -1 : a.site > b.site ? 1 : 0;
