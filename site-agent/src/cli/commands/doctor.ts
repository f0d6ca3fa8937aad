import type { Command } from "commander";
import { examine } from "../../doctor.ts";
import type { Finding } from "../../doctor/finding.ts";
import { handle, siteCommand, Unsuccessful } from "../context.ts";
import { withNetworkOptions, type NetworkCliOptions } from "../network-options.ts";
import type { CliPorts } from "../ports.ts";

export function doctorCommand(ports: CliPorts): Command {
  const command = withNetworkOptions(
    siteCommand(
      "doctor",
      "Check this machine, this home and the way to the coordinator.",
      `Each line is ok, warn or fail, and says what to do about it. Nothing is changed; that the coordinator was asked
for a session stands among the receipts. The exit code is 1 if a line fails.`,
      `consilium-site doctor
     consilium-site doctor --json
     consilium-site doctor --ca hospital.pem`,
    ),
  );
  return handle<NetworkCliOptions>(command, ports, async ({ options, output, homeFolder }) => {
    const findings = await examine(homeFolder, options, ports);
    const healthy = findings.every(({ status }) => status !== "fail");
    output.result({ healthy, findings }, describe(findings));
    if (!healthy) throw new Unsuccessful();
  });
}

function describe(findings: readonly Finding[]): string {
  return findings
    .flatMap(({ status, what, found, next }) => [
      `${status.padEnd(5)} ${what.padEnd(17)} ${found}`,
      ...(next === null ? [] : [`${"".padEnd(23)} -> ${next}`]),
    ])
    .join("\n");
}
