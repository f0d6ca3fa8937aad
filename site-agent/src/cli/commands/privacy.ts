import { ConsiliumError } from "@consilium/shared/errors";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import type { Command } from "commander";
import { parseName } from "../../config.ts";
import { readTextIfPresent } from "../../home/files.ts";
import type { Home } from "../../home/home.ts";
import { privacyText } from "../../governance/plan-text.ts";
import { countPatients } from "../../privacy/guard.ts";
import { privacyLedger } from "../../privacy/ledger.ts";
import {
  privacyPolicySchema,
  readPrivacyPolicy,
  writePrivacyPolicy,
  type PrivacyPolicy,
} from "../../privacy/policy.ts";
import { CAVEATS, describeStatement, statement } from "../../privacy/statement.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly cache: string;
  readonly plan?: string;
  readonly maxEpsilon?: number;
  readonly delta?: number;
  readonly required?: boolean;
  readonly optional?: boolean;
}

export function privacyCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "privacy",
    "Show what training has revealed at most, and what a plan would.",
    `Training with differential privacy spends a budget, in epsilon; this site keeps the account itself and training stops
at its limit, whatever the plan says. Shows the limit, what is spent, and what the rounds to come of the joined plan, or of a
plan in a file that nobody has agreed to yet, would spend. The limit is changed here as well.`,
    `consilium-site privacy
     consilium-site privacy --plan plan.json
     consilium-site privacy --max-epsilon 3 --delta 1e-7 --required
     consilium-site privacy --json`,
  )
    .option("--cache <name>", "image cache whose patients it is about", "train")
    .option("--plan <file>", "plan to look at (default: the one this site has joined)")
    .option("--max-epsilon <x>", "change the limit", positive("--max-epsilon", 1000))
    .option("--delta <x>", "change the delta at which epsilon is told", positive("--delta", 0.01))
    .option("--required", "refuse plans without privacy from now on")
    .option("--optional", "allow them again");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const cohort = parseName("--cache", options.cache);
    const policy = await settledPolicy(home, options);
    const plan = options.plan === undefined ? await joinedPlan(home) : await planIn(options.plan);
    const shown = statement({
      cohort,
      patients: await patientsIn(home.cacheFolder(cohort), plan),
      policy,
      payments: await privacyLedger(home.privacyLedgerFile).payments(),
      plan,
      weights: plan?.privacy.unit === "site" ? await weightsOf(plan) : 0,
    });
    output.result(
      { ...shown, caveats: CAVEATS },
      describeStatement(shown, plan === null ? null : privacyText(plan)),
    );
  });
}

/** null before anything was ingested: the limit and the plan can be looked at all the same. */
async function patientsIn(cacheDir: string, plan: Plan | null): Promise<number | null> {
  return countPatients(cacheDir, plan).catch((error: unknown) => {
    if (error instanceof ConsiliumError && error.code === "cache.missing") return null;
    throw error;
  });
}

/** What holds from now on. @throws config.invalid */
async function settledPolicy(home: Home, options: Options): Promise<PrivacyPolicy> {
  const before = await readPrivacyPolicy(home.privacyPolicyFile);
  const { maxEpsilon, delta, required, optional } = options;
  if (required === true && optional === true) throw invalid("--required and --optional exclude each other");
  if (maxEpsilon === undefined && delta === undefined && required !== true && optional !== true)
    return before;
  const changed = privacyPolicySchema.parse({
    ...before,
    ...(maxEpsilon === undefined ? {} : { maxEpsilon }),
    ...(delta === undefined ? {} : { delta }),
    required: required === true || (before.required && optional !== true),
  });
  await writePrivacyPolicy(home.privacyPolicyFile, changed);
  return changed;
}

/** Loads TensorFlow.js, which nothing else here needs. */
async function weightsOf(plan: Plan): Promise<number> {
  const { countWeights } = await import("../../pretext/weights.ts");
  return countWeights(plan);
}

async function joinedPlan(home: Home): Promise<Plan | null> {
  const { enrolment } = await home.readConfig();
  return enrolment === null ? null : (await home.joined()).plan;
}

/** @throws config.invalid, plan.invalid; neither the path nor the content enters the message */
async function planIn(file: string): Promise<Plan> {
  const text = await readTextIfPresent(file);
  if (text === null) throw invalid("--plan: there is no such file");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("--plan: the file is not JSON");
  }
  return parsePlan(value);
}

/** Parser of a number above 0 and at most `most`. */
function positive(option: string, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (value > 0 && value <= most) return value;
    throw invalid(`${option}: give a number above 0 and at most ${most}`);
  };
}

const invalid = (detail: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${detail})` });
