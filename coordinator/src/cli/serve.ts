/** `serve`: runs the coordinator until it is told to stop, and says what happens. */
import { readFile } from "node:fs/promises";
import { ConsiliumError } from "@consilium/shared/errors";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import {
  describeEarlyEnd,
  isFingerprintRound,
  isTrialRound,
  roundTitle,
} from "@consilium/shared/protocol/round";
import type { Logger } from "pino";
import { startCoordinator, type Coordinator } from "../app.ts";
import { factData } from "../audit/events.ts";
import { isoTime } from "../clock.ts";
import { describeRecovery } from "../federation/recovery-findings.ts";
import { without } from "../federation/status.ts";
import type { Exclusion, Fact, Verdict } from "../federation/types.ts";
import { endOf } from "../tls.ts";
import { openStartingFile } from "./starting-file.ts";
import { PLAIN_WARNING, say, type Terminal } from "./terminal.ts";

export interface ServeOptions {
  readonly home: string;
  /** Said in the hint at invite, where the other commands would not look by themselves. */
  readonly inviteHome?: string;
  readonly host: string;
  readonly port: string;
  /** Files, one for each federation. */
  readonly plan?: readonly string[];
  /** Files that the plans start from. */
  readonly startFrom?: readonly string[];
  readonly database?: string;
  readonly blobs?: string;
  readonly advertise?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly gatherMs?: string;
}

export async function serve(
  { plan: planFiles = [], startFrom = [], inviteHome, ...settings }: ServeOptions,
  logger: Logger,
  terminal: Terminal,
): Promise<Coordinator> {
  const cohorts = new Map<string, number>();
  let running: Coordinator | null = null;
  const termsOf = (federation: string): Terms =>
    running?.federations.all().find((one) => one.federation === federation)?.plan.body ?? UNKNOWN_TERMS;
  const coordinator = await startCoordinator({
    ...settings,
    logger,
    plan: await Promise.all(planFiles.map(readPlan)),
    startFrom: await Promise.all(startFrom.map(openStartingFile)),
    onFact: (federation, fact) => {
      if (fact.fact === "round.opened") cohorts.set(federation, fact.cohort.length);
      const text = describeFact(fact, termsOf(federation), cohorts.get(federation) ?? null);
      if (text !== null) say(terminal, { event: fact.fact, federation, ...factData(fact) }, text);
    },
  });
  running = coordinator;
  const { url, dashboardUrl, recovered } = coordinator;
  for (const { federation, found } of coordinator.federations.all()) {
    if (!cohorts.has(federation) && found.cohort > 0) cohorts.set(federation, found.cohort);
    const text = describeRecovery(federation, found, recovered);
    if (text !== null) say(terminal, { event: "recovered", federation, ...found, ...recovered }, text);
  }
  const home = inviteHome === undefined ? "" : ` --home ${quoted(inviteHome)}`;
  say(
    terminal,
    { event: "listening", url, dashboardUrl },
    `Listening on ${url}\nDashboard: ${dashboardUrl}\nInvite a site: consilium-coordinator invite --site NAME${home}`,
  );
  const { certificates } = coordinator;
  if (certificates !== null) {
    const ending = endOf(certificates.material, Date.now());
    const expiresAt = isoTime(certificates.material.expiresAtMs);
    if (ending !== null) say(terminal, { event: "tls.expiring", expiresAt }, ending);
  }
  coordinator.federations.follow(({ federation, plan }) => {
    if (plan.body.aggregation.secure === "plain") {
      logger.warn({ federation }, "updates are not masked");
      say(terminal, { event: "not-masked", federation }, PLAIN_WARNING);
    }
    return () => {
      say(terminal, { event: "moved", federation }, `${federation}: another coordinator runs it now.`);
    };
  });
  return coordinator;
}

/** @throws config.invalid, plan.invalid */
export async function readPlan(file: string): Promise<Plan> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    const detail = cause instanceof SyntaxError ? "(the plan is not JSON)" : "(the plan file cannot be read)";
    throw new ConsiliumError("config.invalid", { detail, culprits: ["plan"], cause });
  }
  return parsePlan(value);
}

/** What of a plan says which round is the last. */
type Terms = Pick<Plan, "rounds">;
/** While the federations are being opened. */
const UNKNOWN_TERMS: Terms = { rounds: Infinity };

const maskedOf = (round: number, terms: Terms): string =>
  isFingerprintRound(round) ? "fingerprint" : isTrialRound(round, terms) ? "loss" : "update";

/** Null for what is no news to a person. @param cohort sites that the newest round was opened for, if that is known */
function describeFact(fact: Fact, terms: Terms, cohort: number | null): string | null {
  switch (fact.fact) {
    case "genesis.stored":
      return "The initial model is here.";
    case "round.opened":
      return `${roundTitle(fact.round, terms)}${fact.attempt > 1 ? `, attempt ${fact.attempt}` : ""}: open for ${fact.cohort.join(", ")}.`;
    case "contribution.accepted": {
      const { round, site, examples, metrics } = fact.header.body;
      return `${roundTitle(round, terms)}: update of ${site} (${examples} images, loss ${metrics.loss.toFixed(4)}).`;
    }
    case "masking.opened":
      return null;
    case "masking.answered":
      return fact.message.step === "mask"
        ? `${roundTitle(fact.round, terms)}: masked ${maskedOf(fact.round, terms)} of ${fact.site}.`
        : null;
    case "masking.advanced":
      return null;
    case "site.sat-out":
      return `${roundTitle(fact.round, terms)}: ${fact.site} sits attempt ${fact.attempt} out (${fact.reason}).`;
    case "contribution.late":
      return `${roundTitle(fact.round, terms)}: what ${fact.site} sent came after attempt ${fact.attempt} was closed and is not in it; the site takes part again.`;
    case "contribution.dropped":
      return `${roundTitle(fact.round, terms)}: update of ${fact.site} dropped (${fact.reason}).`;
    case "round.closed":
      return fact.excluded.length === 0
        ? `${roundTitle(fact.round, terms)}: complete.`
        : `${roundTitle(fact.round, terms)}: ${share(fact.excluded, cohort)}; ${without(fact.excluded)}.`;
    case "round.abandoned":
      return fact.failure === undefined
        ? `${roundTitle(fact.round, terms)}: ${share(fact.excluded, cohort)} are too few; ${without(fact.excluded)}.${again(fact)}`
        : `${roundTitle(fact.round, terms)}: the sum cannot be opened (${[fact.failure.reason, ...fact.failure.culprits].join(", ")}).${again(fact)}`;
    case "round.aggregated":
      return `Round ${fact.round}: averaged, global model ${fact.record.body.sha256.slice(0, 12)}.`;
    case "cohort.summed": {
      const { sites } = fact.record.body;
      return `${roundTitle(fact.round, terms)}: what the images of ${sites.join(", ")} together are like is known.`;
    }
    case "cohort.given-up":
      return `${roundTitle(fact.round, terms)}: whether the sites' images are alike stays unknown (${fact.reason}).`;
    case "model.tried": {
      const { round, verdict, rollbacks } = fact;
      return verdict.accepted ? null : describeRollback(roundTitle(round, terms), verdict, rollbacks);
    }
    case "trial.ended":
      return `${roundTitle(fact.round, terms)}: makes no model; the federation ends with ${fact.checkpoint.slice(0, 12)}.`;
    case "federation.paused":
      return `PAUSED before round ${fact.round}: consilium-coordinator status says why. Look at it, then consilium-coordinator resume.`;
    case "federation.resumed":
      return `Round ${fact.round}: resumed by the operator.`;
    case "federation.finished":
      return `Finished; global model ${fact.checkpoint.slice(0, 12)}.${fact.stopped === undefined ? "" : ` ${describeEarlyEnd(fact.stopped)}`}`;
  }
}

/** The comparison of images may be given up instead, which is said by itself. */
const again = ({ round }: Extract<Fact, { fact: "round.abandoned" }>): string =>
  isFingerprintRound(round) ? "" : " It is tried again.";

function describeRollback(title: string, { checkpoint, loss, before }: Verdict, rollbacks: number): string {
  const restored = before === null ? "nothing" : before.checkpoint.slice(0, 12);
  return `${title}: model ${checkpoint.slice(0, 12)} is worse on held-out images (loss ${loss.toFixed(4)} after ${(before?.loss ?? NaN).toFixed(4)}); back to ${restored}, ${rollbacks} in a row.`;
}

const share = (excluded: readonly Exclusion[], cohort: number | null): string =>
  cohort === null ? "updates" : `${cohort - excluded.length} of ${cohort}`;

/** For a shell. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
