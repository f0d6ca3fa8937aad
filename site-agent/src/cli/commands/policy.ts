import type { Command } from "commander";
import { pinsFile } from "../../federation/masking/roster.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly acceptPlain?: boolean;
  readonly requireMasked?: boolean;
  readonly acceptKey?: string;
}

export function policyCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "policy",
    "Show or change what this site allows.",
    `A site takes part only where updates are masked, so that the coordinator sees their sum and no single one. A plan that
lets it read each of them is refused until someone at the site allows it here. A site also keeps the keys of the others as it
first saw them, and refuses another key for the same site; --accept-key forgets the old one, once you have compared the
new fingerprint by telephone.`,
    `consilium-site policy
     consilium-site policy --accept-plain
     consilium-site policy --require-masked
     consilium-site policy --accept-key st-mary`,
  )
    .option("--accept-plain", "allow plans under which the coordinator can read this site's updates")
    .option("--require-masked", "refuse such plans again")
    .option("--accept-key <site>", "take the next key that is shown for this site");
  return handle<Options>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const { acceptPlain = false, requireMasked = false, acceptKey } = options;
    let policy = await home.policy();
    if (acceptPlain || requireMasked) {
      // Given both, the careful one holds.
      policy = { ...policy, requireSecureAggregation: requireMasked };
      await home.setPolicy(policy);
    }
    const forgotten = acceptKey === undefined ? null : await pinsFile(home.rosterFile).forget(acceptKey);
    const masked = policy.requireSecureAggregation
      ? "required: a plan that lets the coordinator read updates is refused"
      : "not required: the coordinator may read this site's updates if the plan says so";
    const key =
      forgotten === null
        ? []
        : [forgotten ? `key      the next one of ${acceptKey ?? ""} is taken` : "key      none was known"];
    output.result({ policy, forgotten }, [`masking  ${masked}`, ...key].join("\n"));
  });
}
