/** A whole attempt in memory, with sites dropping out wherever a test wants them to. */
import type { SiteId } from "../../ids.ts";
import { collect } from "../coordinator/collect.ts";
import { route } from "../coordinator/route.ts";
import { foldMasked, openSum, type Aggregate } from "../coordinator/sum.ts";
import { collectVotes, listSurvivors } from "../coordinator/survivors.ts";
import { unmask as rebuild, unmaskGroups, type Unmasking } from "../coordinator/unmask.ts";
import type { PrivateValues } from "../encode.ts";
import { maskedFrameBytes } from "../frame.ts";
import { geometryOf } from "../layout.ts";
import { required } from "../required.ts";
import { advertise } from "../site/advertise.ts";
import { consistency } from "../site/consistency.ts";
import { mask } from "../site/mask.ts";
import { share } from "../site/share.ts";
import { unmask } from "../site/unmask.ts";
import { atSites, fixedRandom, without, writeVector, type Consortium } from "./consortium.ts";

/** Names of sites that fall silent before they send the message of that round. */
export interface Dropouts {
  readonly advertise?: readonly string[];
  readonly share?: readonly string[];
  readonly mask?: readonly string[];
  readonly consistency?: readonly string[];
  readonly unmask?: readonly string[];
}

const gone = (sites: readonly string[] = []): ReadonlySet<string> => new Set(sites);

export function advertiseAll(consortium: Consortium, dropouts: Dropouts = {}) {
  const present = without(consortium.members, gone(dropouts.advertise));
  const sites = atSites(consortium, present, (_, self) =>
    advertise(consortium.attempt, self, fixedRandom(`advertise ${self.site}`)),
  );
  return { sites, coordinator: collect(consortium.attempt, sites.messages) };
}

export function shareAll(consortium: Consortium, dropouts: Dropouts = {}) {
  const before = advertiseAll(consortium, dropouts);
  const list = before.coordinator.broadcast;
  const sites = atSites(consortium, without(before.sites.states, gone(dropouts.share)), (state, self) =>
    share(state, self, list, fixedRandom(`share ${self.site}`)),
  );
  return { sites, coordinator: route(before.coordinator.keep, sites.messages), list };
}

export function maskAll(consortium: Consortium, dropouts: Dropouts = {}) {
  const before = shareAll(consortium, dropouts);
  const deliveries = before.coordinator.broadcast;
  // Groups with too few dealers are told nothing more.
  const told = only(before.sites.states, [...deliveries.keys()]);
  const { states } = atSites(consortium, told, (state, self) =>
    mask(state, self, required(deliveries.get(self.site))),
  );
  return { states, coordinator: before.coordinator, list: before.list };
}

export function contributeAll(
  consortium: Consortium,
  values: (site: SiteId) => PrivateValues,
  dropouts: Dropouts = {},
) {
  const { layout } = consortium;
  const before = maskAll(consortium, dropouts);
  const accumulator = new Uint8Array(geometryOf(layout).totalBytes);
  const vectors = new Map<SiteId, Uint8Array>();
  const sites = atSites(consortium, without(before.states, gone(dropouts.mask)), (state, self) => {
    const written = writeVector(state, self, layout, values(self.site));
    foldMasked(layout, accumulator, { offset: 0, bytes: written.vector });
    vectors.set(self.site, written.vector);
    return written;
  });
  const frameBytes = maskedFrameBytes(layout);
  const coordinator = listSurvivors(before.coordinator.keep, sites.messages, frameBytes);
  return { sites, coordinator, accumulator, vectors };
}

export function voteAll(
  consortium: Consortium,
  values: (site: SiteId) => PrivateValues,
  dropouts: Dropouts = {},
) {
  const before = contributeAll(consortium, values, dropouts);
  const list = before.coordinator.broadcast;
  const asked = only(before.sites.states, list.survivors);
  const sites = atSites(consortium, without(asked, gone(dropouts.consistency)), (state, self) =>
    consistency(state, self, list),
  );
  const coordinator = collectVotes(before.coordinator.keep, sites.messages);
  return { ...before, sites, coordinator };
}

export function releaseAll(
  consortium: Consortium,
  values: (site: SiteId) => PrivateValues,
  dropouts: Dropouts = {},
) {
  const before = voteAll(consortium, values, dropouts);
  const agreement = before.coordinator.broadcast;
  const sites = atSites(consortium, without(before.sites.states, gone(dropouts.unmask)), (state, self) =>
    unmask(state, self, agreement),
  );
  return { ...before, sites };
}

function only<T>(map: ReadonlyMap<SiteId, T>, sites: readonly SiteId[]): Map<SiteId, T> {
  return new Map([...map].filter(([site]) => sites.includes(site)));
}

export interface Outcome {
  readonly survivors: readonly SiteId[];
  /** The sum, unmasked, as bytes. */
  readonly sum: Uint8Array;
  readonly aggregate: Aggregate;
}

/** @throws like every round */
export function runAttempt(
  consortium: Consortium,
  values: (site: SiteId) => PrivateValues,
  dropouts: Dropouts = {},
): Outcome {
  const { sites, coordinator, accumulator } = releaseAll(consortium, values, dropouts);
  const { keep } = rebuild(coordinator.keep, sites.messages);
  const aggregate = openSum(consortium.layout, keep, accumulator);
  return { survivors: keep.survivors, sum: accumulator, aggregate };
}

export interface GroupOutcome extends Outcome {
  /** As they came, masked, by site. */
  readonly vectors: ReadonlyMap<SiteId, Uint8Array>;
  readonly unmasking: Unmasking;
}

/** The sum of each group that can be opened. @throws like every round */
export function runGroups(
  consortium: Consortium,
  values: (site: SiteId) => PrivateValues,
  dropouts: Dropouts = {},
): readonly GroupOutcome[] {
  const { layout } = consortium;
  const { sites, coordinator, vectors } = releaseAll(consortium, values, dropouts);
  return unmaskGroups(coordinator.keep, sites.messages).sums.map((unmasking) => {
    const sum = new Uint8Array(geometryOf(layout).totalBytes);
    for (const site of unmasking.survivors) {
      foldMasked(layout, sum, { offset: 0, bytes: required(vectors.get(site)) });
    }
    const aggregate = openSum(layout, unmasking, sum);
    return { survivors: unmasking.survivors, sum, aggregate, vectors, unmasking };
  });
}
