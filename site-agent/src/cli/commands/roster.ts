import { endorsementOf, type VersionedRoster } from "@consilium/shared/roster/roster";
import { sign } from "@consilium/shared/crypto/identity";
import { printOf, type Print } from "@consilium/shared/crypto/words";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { endorsementReplySchema, type RosterShown } from "@consilium/shared/protocol/governance";
import type { Command } from "commander";
import { httpClient, type Http } from "../../federation/http.ts";
import type { Network } from "../../federation/network.ts";
import { recorder } from "../../federation/recorded.ts";
import { receiptsFile, type Receipts } from "../../federation/receipts.ts";
import { bearer, openSession, type Membership } from "../../federation/session.ts";
import { pinsFile, type Pins, type RosterNews } from "../../governance/pins.ts";
import { RosterKeeper } from "../../governance/roster-keeper.ts";
import type { Home } from "../../home/home.ts";
import { handle, siteCommand } from "../context.ts";
import type { Output } from "../output.ts";
import { siteNetwork, withNetworkOptions, type NetworkCliOptions } from "../network-options.ts";
import type { CliPorts } from "../ports.ts";

export function rosterCommand(ports: CliPorts): Command {
  const command = withNetworkOptions(
    siteCommand(
      "roster",
      "Show the federation's sites and their fingerprints, and approve one that wants to join.",
      `Telephone each site once and compare: read the words to each other. Keys are pinned as they are first seen. A site that
enrols after training has begun waits until most of the sites that are there have approved it; this site checks their
signatures itself, so that the coordinator alone can add nobody.`,
      `consilium-site roster
     consilium-site roster approve hospital-d`,
    ),
  );
  handle<NetworkCliOptions>(command, ports, async ({ options, output, openHome }) => {
    const home = await openHome();
    const here = await surroundings(home, options, ports, output);
    const { membership } = here;
    const pinned = await here.pins.read(membership.federation);
    const shown = await show(here).catch((error: unknown) => {
      output.note(`Who waits is not known: ${toConsiliumError(error).message}`);
      return null;
    });
    await here.network.close();
    const candidates = (shown?.candidates ?? []).map(({ site, identity, endorsers }) => ({
      site,
      ...printOf(identity),
      endorsers,
    }));
    const members = (pinned?.members ?? []).map(({ site, identity }) => ({ site, ...printOf(identity) }));
    const own = printOf(membership.identity.public);
    const coordinator = printOf(membership.coordinator);
    output.result(
      { site: membership.site, own, coordinator, version: pinned?.version ?? null, members, candidates },
      [
        row(`${membership.site} (this site)`, own),
        row("the coordinator", coordinator),
        pinned === null
          ? "No other site has been seen yet: they are pinned when the first round begins."
          : `On the roster, version ${pinned.version}:`,
        ...members.filter(({ site }) => site !== membership.site).map((member) => row(member.site, member)),
        ...candidates.flatMap((candidate) => [
          `Waiting; ${candidate.endorsers.length} of ${shown?.needed ?? 0} have approved. Telephone, compare, then: consilium-site roster approve ${candidate.site}`,
          row(candidate.site, candidate),
        ]),
      ].join("\n"),
    );
  });
  return command.addCommand(approveCommand(ports));
}

function approveCommand(ports: CliPorts): Command {
  const command = siteCommand(
    "approve",
    "Sign for a site that wants to join, once you have compared its fingerprint by telephone.",
    `The signature is for exactly this key and this roster, and serves once. With those of most sites the newcomer takes part from
the next round on.`,
    "consilium-site roster approve hospital-d",
  ).argument("<site>", "its name, as consilium-site roster shows it");
  return handle<NetworkCliOptions>(command, ports, async ({ options, output, openHome }, name = "") => {
    const home = await openHome();
    const here = await surroundings(home, options, ports, output);
    const { candidate, reply } = await signFor(here, name).finally(() => here.network.close());
    output.result(
      { ...reply, ...printOf(candidate.identity) },
      `${row(candidate.site, printOf(candidate.identity))}
${reply.added ? `${reply.site} is on the roster now.` : `Signed. ${reply.endorsements} of ${reply.needed} sites have approved ${reply.site}.`}`,
    );
  });
}

/** @throws roster.no-candidate if nobody of this name waits, and what the coordinator reports */
async function signFor(here: Surroundings, name: string) {
  const { membership, http, receipts, keeper, ports } = here;
  const session = await openSession({ ...ports, http, receipts }, membership);
  // Brings the pins up to date first: what is signed is an addition to what this site itself knows.
  const roster = await keeper.follow(session);
  const { candidates } = await keeper.shown(session);
  const candidate = candidates.find(({ site }) => site === name);
  if (candidate === undefined || roster === null)
    throw new ConsiliumError("roster.no-candidate", { culprits: ["site"] });
  const signed = endorse(roster, membership, candidate);
  const record = recorder({ receipts, nowMs: ports.nowMs }, membership.federation);
  const reply = await record({ kind: "endorsement" }, JSON.stringify(signed), () =>
    http.post(`api/federations/${membership.federation}/endorsements`, signed, endorsementReplySchema, {
      headers: bearer(session),
    }),
  );
  return { candidate, reply };
}

const endorse = (
  roster: VersionedRoster,
  { site, identity }: Membership,
  candidate: RosterShown["candidates"][number],
) => sign("roster-endorsement", endorsementOf(roster, site, candidate), identity);

interface Surroundings {
  readonly membership: Membership;
  readonly http: Http;
  readonly receipts: Receipts;
  readonly pins: Pins;
  readonly keeper: RosterKeeper;
  readonly network: Network;
  readonly ports: CliPorts;
}

async function surroundings(
  home: Home,
  options: NetworkCliOptions,
  ports: CliPorts,
  output: Output,
): Promise<Surroundings> {
  const { site, enrolment, plan } = await home.joined();
  const { federation } = plan;
  const membership = {
    federation,
    site,
    identity: await home.identity(),
    coordinator: enrolment.coordinator,
  };
  const network = await siteNetwork(home, enrolment.coordinatorUrl, options, ports);
  const http = httpClient(enrolment.coordinatorUrl, network.fetch);
  const pins = pinsFile(home.rosterFile);
  const onRoster = (news: RosterNews): void => {
    sayRoster(news, output);
  };
  const keeper = new RosterKeeper({ http, pins, onRoster }, membership);
  return { membership, http, receipts: receiptsFile(home.receiptsFile), pins, keeper, network, ports };
}

async function show({ membership, http, receipts, keeper, ports }: Surroundings): Promise<RosterShown> {
  return keeper.shown(await openSession({ ...ports, http, receipts }, membership, ports.signal));
}

/** To people and programs, when the pinned roster has changed. */
export function sayRoster({ added, removed }: RosterNews, output: Output): void {
  if (added.length > 0) {
    const lines = added.map((site) => row(site.site, site));
    output.event(
      "sites",
      { sites: added },
      ["new on the roster; compare by telephone (consilium-site roster):", ...lines].join("\n"),
    );
  }
  if (removed.length > 0) {
    output.event("sites-removed", { sites: removed }, `no longer on the roster: ${removed.join(", ")}`);
  }
}

const row = (name: string, { fingerprint, words }: Print): string =>
  `  ${name}\n    ${words}\n    ${fingerprint}`;
