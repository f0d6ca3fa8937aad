import { ConsiliumError } from "@consilium/shared/errors";
import type { Sha256 } from "@consilium/shared/ids";
import { planHash } from "@consilium/shared/plan";
import { WHAT_STAYS, whatLeaves } from "@consilium/shared/plan-leaves";
import type { Command } from "commander";
import { planDecisionSchema, receiptsFile } from "../../federation/receipts.ts";
import { shortHash } from "../../governance/gate.ts";
import { planText } from "../../governance/plan-text.ts";
import type { Home } from "../../home/home.ts";
import { assertAllowed } from "../../policy.ts";
import { handle, siteCommand, type CommandContext } from "../context.ts";
import { standingOf, type Standing } from "../next-step.ts";
import type { CliPorts } from "../ports.ts";

const FEWEST_DIGITS = 8;

export function planCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "plan",
    "Show the federation's plan in words, and approve or refuse it.",
    `Everything that is trained and everything that leaves follows from the plan. It is signed by the coordinator, and this site
keeps it by its hash: another plan has another hash and needs another approval. Until someone here has approved it,
consilium-site run waits, and the coordinator sees that it waits. What the site's policy forbids no approval allows.`,
    `consilium-site plan
     consilium-site plan approve 3f9a04c1be77
     consilium-site plan refuse`,
  );
  handle(command, ports, async ({ output, openHome }) => {
    const home = await openHome();
    const { plan } = await home.joined();
    const hash = planHash(plan);
    const decision = await standingOf(home, hash);
    // Loaded here, so that approving and `--help` do not wait for the networks.
    const { planWeights } = await import("../../pretext/weights.ts");
    const weights = planWeights(plan);
    output.result(
      { plan, planHash: hash, decision, weights, leaves: whatLeaves(plan, weights), stays: WHAT_STAYS },
      `${planText(plan, weights)}\n\n${DECISIONS[decision](hash)}`,
    );
  });
  return command.addCommand(approveCommand(ports)).addCommand(refuseCommand(ports));
}

interface Decided {
  readonly by?: string;
}

const BY = ["--by <name>", "who decides; kept among this site's receipts, and sent to nobody"] as const;

function approveCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "approve",
    "Approve the plan: training may begin.",
    "Type the hash that consilium-site plan shows, or its first eight digits or more. The decision is kept among the receipts.",
    `consilium-site plan approve 3f9a04c1be77
     consilium-site plan approve 3f9a04c1be77 --by "Dr. Example"`,
  )
    .argument("<hash>", "the plan's hash")
    .option(...BY);
  return handle<Decided>(command, ports, async (context, typed = "") => {
    const home = await context.openHome();
    const { plan } = await home.joined();
    const hash = planHash(plan);
    if (typed.length < FEWEST_DIGITS || !hash.startsWith(typed.toLowerCase())) {
      throw new ConsiliumError("plan.other-hash", { detail: "(what was typed is not its beginning)" });
    }
    assertAllowed(plan, await home.policy());
    await keep(context, home, hash, "approved");
    context.output.result(
      { planHash: hash, decision: "approved" },
      `Approved: ${plan.title} (${shortHash(hash)}).\n  next         consilium-site run; an agent that waits goes on by itself`,
    );
  });
}

function refuseCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "refuse",
    "Refuse the plan: this site does not take part.",
    "An agent that runs ends before it begins another round. The decision is kept among the receipts, and can be changed.",
    "consilium-site plan refuse",
  ).option(...BY);
  return handle<Decided>(command, ports, async (context) => {
    const home = await context.openHome();
    const { plan } = await home.joined();
    const hash = planHash(plan);
    await keep(context, home, hash, "refused");
    context.output.result(
      { planHash: hash, decision: "refused" },
      `Refused: ${plan.title} (${shortHash(hash)}).`,
    );
  });
}

const DECISIONS: Readonly<Record<Standing, (hash: Sha256) => string>> = {
  approved: () => "Approved at this site.",
  refused: (hash) => `Refused at this site. To change that: consilium-site plan approve ${shortHash(hash)}`,
  listed: () => "Needs no approval by hand: this site's policy allows it.",
  undecided: (hash) =>
    `Not approved yet: training waits. If you agree: consilium-site plan approve ${shortHash(hash)}`,
};

async function keep(
  { ports, options: { by } }: Pick<CommandContext<Decided>, "ports" | "options">,
  home: Home,
  hash: Sha256,
  decision: "approved" | "refused",
): Promise<void> {
  const at = new Date(ports.nowMs()).toISOString();
  const who = by === undefined ? {} : { by };
  const entry = planDecisionSchema.safeParse({ at, kind: "plan", decision, ...who, sha256: hash }).data;
  if (entry === undefined) {
    throw new ConsiliumError("config.invalid", {
      detail: "(--by: a name of letters, digits and . , ' @ _ -, at most 80)",
      culprits: ["by"],
    });
  }
  await receiptsFile(home.receiptsFile).add(entry);
}
