/** A person at a site approves another one. */
import { sign } from "@consilium/shared/crypto/identity";
import { endorsementReplySchema } from "@consilium/shared/protocol/governance";
import { endorsementOf } from "@consilium/shared/roster/roster";
import { httpClient } from "../../site-agent/src/federation/http.ts";
import { receiptsFile } from "../../site-agent/src/federation/receipts.ts";
import { bearer, openSession } from "../../site-agent/src/federation/session.ts";
import { pinsFile } from "../../site-agent/src/governance/pins.ts";
import { RosterKeeper } from "../../site-agent/src/governance/roster-keeper.ts";
import { random, type TestSite } from "./federation.ts";

/** What a person does with `consilium-site roster approve`. */
export async function endorse({ home }: TestSite, name: string) {
  const { site, enrolment, plan } = await home.joined();
  const { coordinator, coordinatorUrl } = enrolment;
  const membership = { federation: plan.federation, site, identity: await home.identity(), coordinator };
  const http = httpClient(coordinatorUrl, fetch);
  const ports = { http, random, nowMs: Date.now, receipts: receiptsFile(home.receiptsFile) };
  const session = await openSession(ports, membership);
  const pins = pinsFile(home.rosterFile);
  const keeper = new RosterKeeper({ http, pins, onRoster: () => undefined }, membership);
  const roster = await keeper.follow(session);
  const candidate = (await keeper.shown(session)).candidates.find((one) => one.site === name);
  if (roster === null || candidate === undefined) throw new Error("nobody to endorse");
  const signed = sign("roster-endorsement", endorsementOf(roster, site, candidate), membership.identity);
  return http.post("api/federations/lungs/endorsements", signed, endorsementReplySchema, {
    headers: bearer(session),
  });
}
