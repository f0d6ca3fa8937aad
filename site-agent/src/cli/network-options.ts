/** How the command line says by which way the coordinator is reached. */
import type { Command } from "commander";
import type { Network } from "../federation/network.ts";
import type { CliPorts } from "./ports.ts";
import { readTlsFiles, type TlsFileOptions } from "./tls-files.ts";

export type NetworkCliOptions = TlsFileOptions;

export function withNetworkOptions(command: Command): Command {
  return command
    .option("--ca <file>", "authority that signed the coordinator's certificate (PEM)")
    .option(
      "--cert <file>",
      "this site's client certificate, where the coordinator's front asks for one (PEM)",
    )
    .option("--key <file>", "its key (PEM)")
    .addHelpText(
      "after",
      "\nHTTPS_PROXY, HTTP_PROXY and NO_PROXY are followed: http://user:password@proxy.example:3128",
    );
}

/** @throws config.invalid, naming the option and not the file */
export async function networkFor(
  coordinatorUrl: string,
  options: NetworkCliOptions,
  { env, fetch }: Pick<CliPorts, "env" | "fetch">,
): Promise<Network> {
  const files = await readTlsFiles(options);
  const tls = {
    ...(files.ca === undefined ? {} : { ca: files.ca.toString("utf8") }),
    ...(files.cert === undefined ? {} : { cert: files.cert.toString("utf8") }),
    ...(files.key === undefined ? {} : { key: files.key.toString("utf8") }),
  };
  // Loaded here: most commands have no use for a way out.
  const { openNetwork } = await import("../federation/network.ts");
  return openNetwork(coordinatorUrl, { env, tls, direct: fetch });
}
