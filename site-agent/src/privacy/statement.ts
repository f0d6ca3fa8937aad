/** What a cohort has spent, and what a plan would: the figures of `consilium-site privacy`. Pure. */
import type { Plan } from "@consilium/shared/plan";
import { epsilonOf } from "@consilium/shared/privacy/accountant";
import { counted } from "@consilium/shared/units";
import { noiseOverUpdate } from "@consilium/shared/privacy/site-noise";
import { fewestInSum } from "@consilium/shared/strategy-schema";
import { affordableRounds, privacyTerms, stepsOf, type PrivacyTerms } from "@consilium/shared/privacy/terms";
import { spentBySite, spentOn, type Payment } from "./ledger.ts";
import type { PrivacyPolicy } from "./policy.ts";

export interface Statement {
  readonly cohort: string;
  /** null where there is no such cache yet. */
  readonly patients: number | null;
  readonly maxEpsilon: number;
  readonly delta: number;
  readonly required: boolean;
  /** At the policy's delta. */
  readonly spentEpsilon: number;
  readonly paidRounds: number;
  readonly forecast: Forecast | null;
}

export interface Forecast {
  readonly federation: string;
  /** null if the plan adds no noise. */
  readonly terms: PrivacyTerms | null;
  /** Where the whole site is protected: what its federation has spent, and how long the noise is. */
  readonly site: SiteForecast | null;
  /** Those that were not paid for yet. */
  readonly rounds: number;
  /** What the plan itself speaks of: its delta, and all of its rounds. null if it adds no noise. */
  readonly planDelta: number | null;
  readonly planEpsilon: number | null;
  /** Of these rounds alone, and with all that was spent before. Infinity without noise. */
  readonly epsilon: number;
  readonly epsilonTogether: number;
  /** How many of these rounds the site's limit allows. */
  readonly allowedRounds: number;
}

export interface SiteForecast {
  /** In this federation alone, at the policy's delta. */
  readonly spentEpsilon: number;
  /** Of the model. */
  readonly weights: number;
  /** Fewest in a round. */
  readonly sites: number;
  /** How long the noise in the mean is, over the longest that a mean update can be. */
  readonly noiseOverUpdate: number;
}

export interface StatementOf {
  readonly cohort: string;
  readonly patients: number | null;
  readonly policy: PrivacyPolicy;
  readonly payments: readonly Payment[];
  readonly plan: Plan | null;
  /** Of the plan's model. */
  readonly weights: number;
}

/** @throws privacy.delta-too-large, privacy.unreachable */
export function statement({ cohort, patients, policy, payments, plan, weights }: StatementOf): Statement {
  const { maxEpsilon, delta, required } = policy;
  const own = payments.filter((payment) => payment.cohort === cohort);
  return {
    cohort,
    patients,
    maxEpsilon,
    delta,
    required,
    spentEpsilon: epsilonOf(spentOn(cohort, own), delta),
    paidRounds: own.length,
    forecast: plan === null || patients === null ? null : forecast(plan, { patients, weights }, policy, own),
  };
}

function forecast(
  plan: Plan,
  { patients, weights }: { readonly patients: number; readonly weights: number },
  { maxEpsilon, delta, required }: PrivacyPolicy,
  payments: readonly Payment[],
): Forecast {
  const { federation } = plan;
  const done = payments.filter((payment) => payment.federation === federation).map(({ round }) => round);
  const rounds = Math.max(0, plan.rounds - Math.max(0, ...done));
  const terms = privacyTerms(plan, patients);
  if (terms === null) {
    const epsilon = rounds === 0 ? 0 : Infinity;
    const allowedRounds = required ? 0 : rounds;
    const own = { site: null, planDelta: null, planEpsilon: null };
    return { federation, terms, rounds, ...own, epsilon, epsilonTogether: epsilon, allowedRounds };
  }
  const [first] = payments;
  const spent = first === undefined ? [] : spentOn(first.cohort, payments);
  const planned = stepsOf(terms, rounds);
  return {
    federation,
    terms,
    site: siteFigures(plan, terms, weights, epsilonOf(spentBySite(federation, payments), delta)),
    rounds,
    ...planFigures(plan, terms),
    epsilon: epsilonOf([planned], delta),
    epsilonTogether: epsilonOf([...spent, planned], delta),
    allowedRounds: affordableRounds(spent, terms, rounds, { maxEpsilon, delta }),
  };
}

function siteFigures(
  { privacy, ...plan }: Plan,
  { noiseMultiplier }: PrivacyTerms,
  weights: number,
  spentEpsilon: number,
): SiteForecast | null {
  if (privacy.unit !== "site") return null;
  const sites = fewestInSum(plan);
  return { spentEpsilon, weights, sites, noiseOverUpdate: noiseOverUpdate(noiseMultiplier, weights, sites) };
}

function planFigures(
  { privacy, rounds }: Plan,
  terms: PrivacyTerms,
): Pick<Forecast, "planDelta" | "planEpsilon"> {
  if (privacy.unit === "none") return { planDelta: null, planEpsilon: null };
  return { planDelta: privacy.delta, planEpsilon: epsilonOf([stepsOf(terms, rounds)], privacy.delta) };
}

/** Said wherever figures are shown: what they do not cover. */
export const CAVEATS: readonly string[] = [
  "Counted: every round of a plan with privacy, before it begins; a round that was cut off and repeated counts twice.",
  "Not counted: rounds of plans without privacy, and the numbers that travel beside an update (images, steps, loss, its norm).",
  "The unit is a patient as this site knows them; one who is in several caches, or at several sites, spends in each.",
];

/** What the figures say, in plain words. @param planned what the plan says of privacy, where there is no forecast */
export function describeStatement(of: Statement, planned: string | null = null): string {
  const { cohort, patients, maxEpsilon, delta, required, spentEpsilon, paidRounds } = of;
  return [
    patients === null
      ? `Privacy of the patients in cache "${cohort}", which is not there yet (consilium-site ingest)`
      : `Privacy of the ${patients} patients in cache "${cohort}"`,
    `  limit        epsilon ${maxEpsilon} at delta ${small(delta)}${required ? "; plans without privacy are refused" : ""}`,
    `  spent        epsilon ${show(spentEpsilon)}, in ${counted(paidRounds, "round")}`,
    ...(of.forecast === null
      ? planned === null
        ? []
        : [`  plan         ${planned}`]
      : describeForecast(of.forecast, of)),
    "",
    ...meaning(of.forecast?.epsilonTogether ?? spentEpsilon, delta),
    ...CAVEATS,
  ].join("\n");
}

/** For people, before they agree to a plan and whenever they look at it. */
export const warnOfSiteNoise = (weights: number, sites: number, times: number): string =>
  `WARNING: with ${weights.toLocaleString("en-GB")} weights and ${sites} sites the noise in the mean is ${show(times)} times as long as the longest update that it hides. ${times > 1 ? "Expect the model to learn little or nothing." : "Expect the model to learn more slowly."}`;

function describeForecast(
  {
    federation,
    terms,
    site,
    rounds,
    planDelta,
    planEpsilon,
    epsilon,
    epsilonTogether,
    allowedRounds,
  }: Forecast,
  { maxEpsilon, delta }: Statement,
): readonly string[] {
  if (terms === null) {
    const verdict =
      rounds > 0 && allowedRounds === 0 ? "This site refuses it." : "Nothing bounds what it reveals.";
    return [`  plan         ${federation} adds no noise. ${verdict}`];
  }
  const { sampleRate, noiseMultiplier, clipL2Norm, stepsPerRound } = terms;
  const verdict =
    allowedRounds === rounds
      ? `within the limit of ${maxEpsilon}`
      : `MORE THAN THE LIMIT of ${maxEpsilon}: training would stop after ${counted(allowedRounds, "round")}`;
  const otherDelta =
    planDelta === null || planEpsilon === null || planDelta === delta
      ? []
      : [
          `               (at the plan's own delta ${small(planDelta)}, all its rounds: ${show(planEpsilon)})`,
        ];
  if (site !== null) {
    return [
      `  plan         ${federation} protects this site as a whole, ${counted(rounds, "round")} to come; each of its patients with it`,
      `               noise of ${show(noiseMultiplier)} times the norm ${clipL2Norm} to which a site's update is cut`,
      `  federation   epsilon ${show(site.spentEpsilon)} is spent in it`,
      `  would spend  epsilon ${show(epsilon)}; with what is spent, ${show(epsilonTogether)}`,
      ...otherDelta,
      `               ${verdict}`,
      `  ${warnOfSiteNoise(site.weights, site.sites, site.noiseOverUpdate)}`,
    ];
  }
  return [
    `  plan         ${federation}, ${counted(rounds, "round")} to come of ${counted(stepsPerRound, "step")}; a patient is in a batch with probability ${show(sampleRate)}`,
    `               noise of ${show(noiseMultiplier)} times the norm ${clipL2Norm} to which each patient is clipped`,
    `  would spend  epsilon ${show(epsilon)}; with what is spent, ${show(epsilonTogether)}`,
    ...otherDelta,
    `               ${verdict}`,
  ];
}

function meaning(epsilon: number, delta: number): readonly string[] {
  if (!Number.isFinite(epsilon))
    return ["Without noise, a patient's images may be reconstructed from updates."];
  const strength =
    epsilon <= 1
      ? "strong"
      : epsilon <= 8
        ? "what is common in practice"
        : "weak: more a form than a protection";
  return [
    `What it means: whatever someone concludes about a patient from all updates, they would conclude with a probability at most`,
    `${show(Math.exp(epsilon))} times as large as had the patient not been there, but for a chance of about ${small(delta)}. Epsilon ${show(epsilon)} is ${strength}.`,
  ];
}

/** For example 1e-6. */
const small = (value: number): string => value.toExponential().replace("e+0", "");

/** Three digits. */
const show = (value: number): string =>
  value < 1000 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
