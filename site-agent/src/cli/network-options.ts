/** How the command line says by which way the coordinator is reached, and what the home remembers of it. */
import { X509Certificate } from "node:crypto";
import path from "node:path";
import { createSecureContext } from "node:tls";
import { ConsiliumError } from "@consilium/shared/errors";
import type { Command } from "commander";
import type { TlsPaths } from "../config.ts";
import type { Network } from "../federation/network.ts";
import type { Home } from "../home/home.ts";
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
      `
The home remembers where these files lie from join (and run) on; an option given later counts instead, "" for none.
HTTPS_PROXY, HTTP_PROXY and NO_PROXY are followed: http://user:password@proxy.example:3128`,
    );
}

/** @throws config.invalid, naming the option and not the file */
export async function networkFor(
  coordinatorUrl: string,
  options: NetworkCliOptions,
  { env, fetch }: Pick<CliPorts, "env" | "fetch">,
  kept: TlsPaths = {},
): Promise<Network> {
  const files = await readTlsFiles(options, kept);
  const tls = {
    ...(files.ca === undefined ? {} : { ca: files.ca.toString("utf8") }),
    ...(files.cert === undefined ? {} : { cert: files.cert.toString("utf8") }),
    ...(files.key === undefined ? {} : { key: files.key.toString("utf8") }),
  };
  assertUsable(tls);
  // Loaded here: most commands have no use for a way out.
  const { openNetwork } = await import("../federation/network.ts");
  return openNetwork(coordinatorUrl, { env, tls, direct: fetch });
}

/** The way of a site that has joined: with the files that its home remembers. @throws as networkFor */
export async function siteNetwork(
  home: Home,
  coordinatorUrl: string,
  options: NetworkCliOptions,
  ports: Pick<CliPorts, "env" | "fetch">,
): Promise<Network> {
  return networkFor(coordinatorUrl, options, ports, (await home.readConfig()).tls);
}

/** Where the files lie, seen from any folder: those given now, else those kept. */
export function tlsPaths(options: NetworkCliOptions, kept: TlsPaths = {}): TlsPaths {
  const paths: { -readonly [name in keyof TlsPaths]: TlsPaths[name] } = {};
  for (const name of ["ca", "cert", "key"] as const) {
    const file = options[name] ?? kept[name] ?? "";
    if (file !== "") paths[name] = path.resolve(file);
  }
  return paths;
}

/** Node takes an authority that is none without a word, and the rest only when it connects. */
function assertUsable(tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }): void {
  const fails = (what: string, use: () => unknown): void => {
    try {
      use();
    } catch (cause) {
      throw new ConsiliumError("config.invalid", {
        detail: `(${what}: not PEM, or not what belongs there)`,
        culprits: what.split(" and "),
        cause,
      });
    }
  };
  const { ca, cert, key } = tls;
  if (ca !== undefined) fails("--ca", () => new X509Certificate(ca));
  if (cert !== undefined && key !== undefined)
    fails("--cert and --key", () => createSecureContext({ cert, key }));
}
