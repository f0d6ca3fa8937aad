import { printOf } from "@consilium/shared/crypto/words";
import type { Command } from "commander";
import { parseSiteName } from "../../config.ts";
import { initHome } from "../../home/home.ts";
import { handle, siteCommand } from "../context.ts";
import type { CliPorts } from "../ports.ts";

interface Options {
  readonly site: string;
  readonly force?: boolean;
}

export function initCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "init",
    "Make this site's home folder and its keys.",
    `The home folder holds the site's secret keys, its image caches and its encoders. Keep a backup of it, and keep it to
yourself: whoever has it can speak for this site. --force makes new keys over old ones and leaves the federation; image
caches stay usable.`,
    `consilium-site init --site st-mary
     consilium-site init --site st-mary --home /srv/consilium`,
  )
    .requiredOption("--site <name>", "this site's name: a-z, 0-9 and hyphens, as in its invitation")
    .option("--force", "replace an identity that is there");
  return handle<Options>(command, ports, async ({ options, output, homeFolder }) => {
    const site = parseSiteName(options.site);
    const { identity } = await initHome(homeFolder, site, ports.random, options.force === true);
    const print = printOf(identity.public);
    output.result(
      { site, ...print },
      `This is now the home of ${site}.
  fingerprint  ${print.words}
               ${print.fingerprint}
  next         ask the coordinator's operator for a token, then: consilium-site join --coordinator URL --token-file FILE`,
    );
  });
}
