/** `roster` and `remove`: who is on the roster, by fingerprints that people compare; and taking a site off it. */
import type { Print } from "@consilium/shared/crypto/words";
import { ConsiliumError } from "@consilium/shared/errors";
import { removalReplySchema } from "@consilium/shared/protocol/governance";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { z } from "zod";
import { chooseFederation, operatorApi, parseSite, type OperatorOptions } from "./operator.ts";
import { say, type Terminal } from "./terminal.ts";

export async function roster(options: OperatorOptions, terminal: Terminal): Promise<void> {
  const call = await operatorApi(options.home);
  const federation = await chooseFederation(options.federation, call);
  const all = await call(z.array(federationStatusSchema), "/api/federations");
  const status = all.find((one) => one.federation === federation);
  if (status === undefined) throw new ConsiliumError("federation.unknown");
  const { sites, candidates, coordinatorFingerprint, coordinatorWords } = status;
  const coordinator = { fingerprint: coordinatorFingerprint, words: coordinatorWords };
  say(
    terminal,
    {
      event: "result",
      federation,
      coordinator,
      members: sites.map(({ site, fingerprint, words }) => ({ site, fingerprint, words })),
      candidates,
    },
    [
      "Compare by telephone: each side reads its words to the other.",
      row("the coordinator", coordinator),
      ...sites.map((site) => row(site.site, site)),
      ...candidates.flatMap((candidate) => [
        `Waiting for the sites' approval (${candidate.endorsers.length} of ${candidate.needed}; each types: consilium-site roster approve ${candidate.site}):`,
        row(candidate.site, candidate),
      ]),
    ].join("\n"),
  );
}

export async function remove(
  options: OperatorOptions & { readonly site: string },
  terminal: Terminal,
): Promise<void> {
  const site = parseSite(options.site);
  const call = await operatorApi(options.home);
  const federation = await chooseFederation(options.federation, call);
  const reply = await call(removalReplySchema, `/api/federations/${federation}/removals`, { site });
  say(
    terminal,
    { event: "result", federation, ...reply },
    `${reply.site} is off the roster; the audit log says so, and every site is told.\nTo take it on again, with new keys or the old: consilium-coordinator invite --site ${reply.site}`,
  );
}

const row = (name: string, { fingerprint, words }: Print): string =>
  `  ${name}\n    ${words}\n    ${fingerprint}`;
