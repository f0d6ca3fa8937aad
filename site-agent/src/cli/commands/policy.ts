import { sha256Schema, type Sha256 } from "@consilium/shared/ids";
import { ConsiliumError } from "@consilium/shared/errors";
import { formatBytes } from "@consilium/shared/units";
import type { Command } from "commander";
import { describeHours, parseHours } from "../../governance/hours.ts";
import type { Policy } from "../../policy.ts";
import { readPrivacyPolicy, writePrivacyPolicy } from "../../privacy/policy.ts";
import { collect, handle, siteCommand, wholeNumber } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly acceptPlain?: boolean;
  readonly requireMasked?: boolean;
  readonly autoApprove?: boolean;
  readonly approveByHand?: boolean;
  readonly allowPlan?: readonly string[];
  readonly forgetPlans?: boolean;
  readonly minCohort?: number;
  readonly hours?: string;
  readonly timeZone?: string;
  readonly tasks?: string;
  readonly maxParameters?: number | null;
  readonly maxBytesPerDay?: number | null;
  readonly maxEpsilon?: number;
}

const ANY = "any";

export function policyCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "policy",
    "Show or change what this site allows.",
    `The floor that no plan gets below. A site takes part only where updates are masked, waits until someone here has approved
the plan (consilium-site plan), and trains within its hours: outside them it rests between two steps, and no round waits for
it. An agent that runs reads changes at once. "any" lifts a limit.`,
    `consilium-site policy
     consilium-site policy --min-cohort 5 --max-epsilon 3
     consilium-site policy --hours "mon-fri 18:00-07:00, sat-sun 00:00-24:00" --time-zone Europe/Berlin
     consilium-site policy --tasks mae --max-parameters 30000000 --max-bytes-per-day 2000000000
     consilium-site policy --allow-plan 3f9a04c1be77...
     consilium-site policy --accept-plain`,
  )
    .option("--accept-plain", "allow plans under which the coordinator can read this site's updates")
    .option("--require-masked", "refuse such plans again")
    .option("--auto-approve", "begin with any plan that this policy allows, without asking anybody")
    .option("--approve-by-hand", "wait until someone here has approved the plan")
    .option(
      "--allow-plan <hash>",
      "a plan's whole hash that needs no approval; may be given several times",
      collect,
    )
    .option("--forget-plans", "no plan is allowed in advance any more")
    .option(
      "--min-cohort <sites>",
      "fewest sites in a round, and in the sum of a group under group-median",
      wholeNumber("--min-cohort", 1),
    )
    .option("--hours <windows>", 'when training may run, for example "mon-fri 18:00-07:00"; any')
    .option("--time-zone <name>", "whose clock counts, for example Europe/Berlin (default: UTC)")
    .option("--tasks <names>", "pretext tasks that are allowed, separated by commas; any")
    .option("--max-parameters <n>", "largest model; any", limit("--max-parameters"))
    .option("--max-bytes-per-day <n>", "that may leave within 24 hours; any", limit("--max-bytes-per-day"))
    .option("--max-epsilon <f>", "privacy that may be spent, as in consilium-site privacy", Number);
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const before = await home.policy();
    const policy = change(before, options);
    if (policy !== before) await home.setPolicy(policy);
    let privacy = await readPrivacyPolicy(home.privacyPolicyFile);
    if (options.maxEpsilon !== undefined) {
      if (!(options.maxEpsilon > 0 && options.maxEpsilon <= 1000))
        throw invalid("--max-epsilon: above 0, at most 1000");
      privacy = { ...privacy, maxEpsilon: options.maxEpsilon };
      await writePrivacyPolicy(home.privacyPolicyFile, privacy);
    }
    output.result({ policy, privacy }, describe(policy, privacy.maxEpsilon, privacy.delta));
  });
}

/** The same policy if nothing is to be changed. Of two options that contradict each other the careful one holds. */
function change(policy: Policy, options: Options): Policy {
  const wanted: Policy = {
    ...policy,
    ...(options.acceptPlain === true && { requireSecureAggregation: false }),
    ...(options.requireMasked === true && { requireSecureAggregation: true }),
    ...(options.autoApprove === true && { planApproval: "automatic" as const }),
    ...(options.approveByHand === true && { planApproval: "by-hand" as const }),
    ...(options.allowPlan !== undefined && {
      allowedPlans: [...new Set([...policy.allowedPlans, ...options.allowPlan.map(parseHash)])],
    }),
    ...(options.forgetPlans === true && { allowedPlans: [] }),
    ...(options.minCohort !== undefined && { minCohort: options.minCohort }),
    ...hoursOf(policy, options),
    ...(options.tasks !== undefined && {
      pretextTasks: options.tasks === ANY ? null : options.tasks.split(",").map((name) => name.trim()),
    }),
    ...(options.maxParameters !== undefined && { maxParameters: options.maxParameters }),
    ...(options.maxBytesPerDay !== undefined && { maxBytesPerDay: options.maxBytesPerDay }),
  };
  return JSON.stringify(wanted) === JSON.stringify(policy) ? policy : wanted;
}

/** @throws policy.hours-invalid */
function hoursOf({ hours }: Policy, options: Options): Partial<Policy> {
  if (options.hours === ANY) return { hours: null };
  if (options.hours !== undefined) {
    return { hours: parseHours(options.hours, options.timeZone ?? hours?.timeZone ?? "UTC") };
  }
  if (options.timeZone === undefined) return {};
  if (hours === null)
    throw new ConsiliumError("policy.hours-invalid", { detail: "(--time-zone goes with --hours)" });
  return { hours: { ...hours, timeZone: parseHours("mon 00:00-24:00", options.timeZone).timeZone } };
}

function describe(policy: Policy, maxEpsilon: number, delta: number): string {
  const lines: readonly (readonly [string, string])[] = [
    [
      "masking",
      policy.requireSecureAggregation
        ? "required: a plan that lets the coordinator read updates is refused"
        : "not required: the coordinator may read this site's updates if the plan says so",
    ],
    [
      "plans",
      policy.planApproval === "by-hand"
        ? `wait for consilium-site plan approve${policy.allowedPlans.length === 0 ? "" : `, but for ${policy.allowedPlans.length} that are allowed in advance`}`
        : "begin without asking anybody",
    ],
    ["cohort", `at least ${policy.minCohort} sites in a round, and in each sum that the coordinator opens`],
    ["hours", policy.hours === null ? "always" : describeHours(policy.hours)],
    ["tasks", policy.pretextTasks?.join(", ") ?? ANY],
    ["model", policy.maxParameters === null ? "any size" : `at most ${policy.maxParameters} parameters`],
    [
      "a day",
      policy.maxBytesPerDay === null
        ? "any bytes may leave"
        : `at most ${formatBytes(policy.maxBytesPerDay)} leave`,
    ],
    ["privacy", `epsilon up to ${maxEpsilon} at delta ${delta} (consilium-site privacy)`],
  ];
  return lines.map(([label, text]) => `${label.padEnd(8)} ${text}`).join("\n");
}

function limit(option: string): (text: string) => number | null {
  const parse = wholeNumber(option, 1);
  return (text) => (text === ANY ? null : parse(text));
}

function parseHash(text: string): Sha256 {
  const parsed = sha256Schema.safeParse(text);
  if (!parsed.success) throw invalid("--allow-plan: give the whole hash that consilium-site plan shows");
  return parsed.data;
}

const invalid = (detail: string): ConsiliumError =>
  new ConsiliumError("config.invalid", { detail: `(${detail})`, culprits: ["policy"] });
