/** A federation as its status tells it, at any moment of its life. Deterministic; parsed by the protocol's schema. */
import { createHash } from "node:crypto";
import {
  federationStatusSchema,
  type FederationStatus,
  type RoundStatus,
} from "@consilium/shared/protocol/http";
import { GROUPS, type GroupName } from "@consilium/shared/fingerprint/layout";
import type { SitePhase } from "@consilium/shared/protocol/round";
import type { z } from "zod";

type StatusInput = z.input<typeof federationStatusSchema>;

export interface Moment {
  /** Rounds that are over. */
  readonly completed: number;
  /** Whether updates are masked; then nobody but a site knows its size and loss. */
  readonly masked?: boolean;
  readonly phase?: FederationStatus["phase"];
  readonly rounds?: number;
  /** What each site is doing, in the order of SITES. */
  readonly sites?: readonly SiteMoment[];
  /** The last site loaded knees instead of chests. */
  readonly knees?: boolean;
  /** Why the images of a masked federation could not be added up. */
  readonly givenUp?: string;
  /** Now; the last round was opened 40 s before. */
  readonly nowMs?: number;
}

export interface SiteMoment {
  readonly phase: SitePhase;
  readonly fraction: number;
  readonly connected?: boolean;
}

export const SITES = ["hospital-a", "hospital-b", "hospital-c"] as const;
const EXAMPLES = [1914, 1822, 899] as const;
const ROUND_MS = 31_400;
const PAUSE_MS = 800;
const UPDATE_BYTES = 5_431_296;
const BUSY = ["training", "uploading", "waiting"] as const;
const STEPS = [59, 56, 28] as const;

const sha = (text: string): string => createHash("sha256").update(text).digest("hex");
const WORDS = ["anchor", "bridge", "cedar", "desert", "ember", "forest", "garden", "harbor"];
const fingerprint = (text: string): string =>
  sha(text)
    .slice(0, 32)
    .replace(/(.{4})(?=.)/g, "$1 ");
const words = (text: string): string =>
  sha(text)
    .slice(0, 24)
    .replace(/../g, (pair) => `${WORDS[Number.parseInt(pair, 16) % WORDS.length] ?? ""} `)
    .trimEnd();
/** In [-1, 1], the same for the same text. */
const noise = (text: string): number => createHash("sha256").update(text).digest().readInt32BE(0) / 2 ** 31;

export function siteLoss(site: number, round: number): number {
  const hard = [0, 0.012, -0.02][site] ?? 0;
  return 0.652 + 0.36 * Math.exp(-round / 7.5) + hard + noise(`${site}/${round}`) * 0.006;
}

export function federationAt(moment: Moment): FederationStatus {
  const { completed, masked = false, rounds = 25, nowMs = Date.now() } = moment;
  const phase = moment.phase ?? (completed >= rounds ? "finished" : "open");
  const underway = phase === "open" || phase === "aggregating";
  const openedAt = nowMs - 18_000;
  const firstAt = openedAt - completed * (ROUND_MS + PAUSE_MS);
  const sites =
    moment.sites ??
    SITES.map((_, index): SiteMoment => ({
      phase: underway ? (BUSY[index] ?? "waiting") : "idle",
      fraction: [0.62, 0.35, 1][index] ?? 0,
    }));
  const history = Array.from({ length: completed }, (_, index) =>
    closedRound(index + 1, firstAt + index * (ROUND_MS + PAUSE_MS)),
  );
  if (underway) history.push(openRound(completed + 1, openedAt, sites));
  const input: StatusInput = {
    federation: "chest-xray",
    plan: {
      federation: "chest-xray",
      title: "Chest radiographs, three hospitals",
      rounds,
      minSites: masked ? 3 : 2,
      aggregation: { secure: masked ? "masked" : "plain" },
    },
    planHash: sha("plan"),
    coordinatorFingerprint: fingerprint("coordinator"),
    coordinatorWords: words("coordinator"),
    candidates: [],
    phase,
    stopped: null,
    average: null,
    summary: summaryOf(phase, completed, rounds),
    round: underway ? completed + 1 : completed,
    rounds,
    attempt: underway || completed > 0 ? 1 : 0,
    step: masked && underway ? "mask" : null,
    deadlineAt: underway ? new Date(openedAt + 30 * 60_000).toISOString() : null,
    checkpoint: completed > 0 ? sha(`model ${completed}`) : null,
    parameters: completed > 0 || underway ? 1_357_824 : null,
    updateParameters: completed > 0 || underway ? 1_357_824 : null,
    sites: SITES.map((site, index) => {
      const { phase: sitePhase, fraction, connected = true } = sites[index] ?? { phase: "idle", fraction: 0 };
      const total = sitePhase === "training" ? (STEPS[index] ?? 0) : UPDATE_BYTES;
      const contributions = history.filter((round) =>
        round.contributions.some((c) => c.site === site),
      ).length;
      return {
        site,
        fingerprint: fingerprint(site),
        words: words(site),
        hold: null,
        connected,
        lastSeenAt: new Date(connected ? nowMs : nowMs - 94_000).toISOString(),
        phase: sitePhase,
        done: Math.round(total * fraction),
        total,
        loss: completed > 0 || underway ? siteLoss(index, completed + 0.5) : null,
        examples: EXAMPLES[index] ?? null,
        contributions,
        receivedBytes: contributions * UPDATE_BYTES,
      };
    }),
    images:
      (underway || completed > 0) && moment.givenUp === undefined
        ? SITES.map((site) => imagesOf(site, moment.knees === true))
        : [],
    cohort: cohortOf(moment, underway || completed > 0),
    history,
  };
  return federationStatusSchema.parse(masked ? withoutSingleValues(input) : input);
}

function withoutSingleValues(input: StatusInput): StatusInput {
  return {
    ...input,
    sites: input.sites.map((site) => ({ ...site, loss: null, examples: null })),
    history: input.history.map((round) => ({
      ...round,
      contributions: round.contributions.map(({ site }) => ({ site, examples: null, metrics: null })),
    })),
  };
}

/** Three hospitals' images together. */
function cohortOf({ knees = false, givenUp }: Moment, isSummed: boolean): StatusInput["cohort"] {
  if (!isSummed || givenUp !== undefined) return { sites: 0, groups: null, givenUp: givenUp ?? null };
  const filled: Partial<Record<GroupName, readonly number[]>> = {
    modality: [1],
    bodyPart: knees ? [0, 0, 2 / 3, 0, 0, 0, 0, 0, 1 / 3] : [0, 0, 1],
    view: [0.9, 0.1],
    size: [0, 0.2, 0.8],
    vendor: [0, 0, 1 / 3, 1 / 3, 0, 0, 0, 0, 0, 0, 1 / 3],
  };
  const groups = GROUPS.map(({ name, title, bins }) => ({
    name,
    title,
    shares: bins.map((bin, i) => ({
      bin,
      share: filled[name] === undefined ? 1 / bins.length : (filled[name][i] ?? 0),
    })),
  }));
  return { sites: SITES.length, groups, givenUp: null };
}

/** As phantom hospitals measure. */
function imagesOf(site: string, knees: boolean): StatusInput["images"][number] {
  const isOdd = knees && site === SITES.at(-1);
  const usual: Readonly<Partial<Record<GroupName, number | null>>> = { spacing: null, vendor: 0.62 };
  const odd: Readonly<Partial<Record<GroupName, number | null>>> = {
    bodyPart: 1,
    intensity: 0.27,
    place: 0.18,
  };
  const groups = GROUPS.map(({ name, title, unlikeFrom }) => {
    const near = (1 + noise(`${site}/${name}`)) / 50;
    const distance = (isOdd ? odd[name] : undefined) ?? (name in usual ? (usual[name] ?? null) : near);
    return { name, title, distance, unlike: unlikeFrom !== null && (distance ?? 0) >= unlikeFrom };
  });
  const verdict = isOdd
    ? "body part, intensity and what lies where unlike the others (1.00)"
    : "like the others";
  return { site, groups, verdict };
}

type RoundInput = StatusInput["history"][number];

function closedRound(round: number, openedAtMs: number): RoundInput {
  // One hospital lost its line in round 5.
  const missing = round === 5 ? "hospital-c" : null;
  const contributions = SITES.flatMap((site, index) =>
    site === missing ? [] : [contribution(site, index, round)],
  );
  return {
    round,
    attempt: 1,
    openedAt: new Date(openedAtMs).toISOString(),
    closedAt: new Date(openedAtMs + ROUND_MS + noise(`took ${round}`) * 1_500).toISOString(),
    loss: weightedLoss(contributions),
    totals: null,
    health: null,
    contributions,
    excluded: missing === null ? [] : [{ site: missing, reason: "did not answer before the deadline" }],
    checkpoint: sha(`model ${round}`),
    verdict: null,
  };
}

function openRound(round: number, openedAtMs: number, sites: readonly SiteMoment[]): RoundInput {
  const contributions = SITES.flatMap((site, index) =>
    sites[index]?.phase === "waiting" ? [contribution(site, index, round)] : [],
  );
  return {
    round,
    attempt: 1,
    openedAt: new Date(openedAtMs).toISOString(),
    closedAt: null,
    loss: weightedLoss(contributions),
    totals: null,
    health: null,
    contributions,
    excluded: [],
    checkpoint: null,
    verdict: null,
  };
}

function contribution(site: string, index: number, round: number): RoundInput["contributions"][number] {
  const loss = siteLoss(index, round);
  return {
    site,
    examples: EXAMPLES[index] ?? 1,
    metrics: { loss, finalLoss: loss - 0.004, steps: STEPS[index] ?? 1, updateNorm: 2.1, trainingMs: 26_000 },
  };
}

function weightedLoss(contributions: readonly RoundInput["contributions"][number][]): number | null {
  const examples = contributions.reduce((sum, c) => sum + (c.examples ?? 0), 0);
  return examples === 0
    ? null
    : contributions.reduce((sum, c) => sum + (c.examples ?? 0) * (c.metrics?.loss ?? 0), 0) / examples;
}

function summaryOf(phase: FederationStatus["phase"], completed: number, rounds: number): string {
  switch (phase) {
    case "waiting":
      return "Waiting for hospital-b and hospital-c to connect; training starts with two.";
    case "open":
      return "hospital-a trains, hospital-b sends its update, hospital-c is done.";
    case "aggregating":
      return `Averaging three updates into model ${completed + 1}.`;
    case "paused":
      return "Paused: three models in a row were worse than the one before.";
    case "finished":
      return `All ${rounds} rounds are done; every hospital can fetch the final model.`;
  }
}

export type { RoundStatus };
