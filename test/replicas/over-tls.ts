/**
 * Two coordinators that speak TLS and ask for certificates, and sites that are all at the one which does not run their
 * federation: every call and socket of theirs is handed on, over TLS, between coordinators that check each other.
 */
import assert from "node:assert/strict";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { PlanInput } from "@consilium/shared/plan";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { z } from "zod";
import { openNetwork } from "../../site-agent/src/federation/network.ts";
import { Authority } from "../support/authority.ts";
import { arithmeticTrainer } from "../support/federation.ts";
import { Cluster } from "./cluster.ts";

const SPINE: PlanInput = {
  federation: "spine",
  title: "spine",
  rounds: 2,
  minSites: 2,
  training: { warmupRounds: 0 },
  aggregation: { secure: "plain" },
};

export async function overTls(say: (text: string) => void): Promise<void> {
  const authority = new Authority();
  const cluster = await Cluster.start(2, [SPINE], authority);
  try {
    await until(async () => (await cluster.holderOf("spine")) >= 0);
    const holder = await cluster.holderOf("spine");
    const other = 1 - holder;
    say(`two coordinators over TLS; coordinator ${holder} runs spine, and every site is at ${other}`);
    const sites = [];
    for (const name of ["east", "west"]) sites.push(await cluster.site("spine", name, cluster.urlOf(other)));
    const results = await Promise.all(sites.map((site) => site.run(arithmeticTrainer(1e-3)).result));
    assert.deepEqual(
      results.map(({ rounds, contributions }) => [rounds, contributions]),
      [
        [2, 2],
        [2, 2],
      ],
      "every site came to the end",
    );
    assert.equal(await cluster.holderOf("spine"), holder, "all of it was handed on");
    const statuses = z.array(federationStatusSchema).parse(await cluster.statusAt(other));
    assert.deepEqual(
      statuses.map(({ phase }) => phase),
      ["finished"],
    );
    say("finished; a coordinator tells of a federation that the other runs");
    await strangers(cluster, authority, holder);
    say(
      "who shows no certificate, or one of another authority, gets no answer; a forged mark of forwarding opens nothing",
    );
    await impostor(cluster, other);
    say("a coordinator sends nothing to another one whose certificate it cannot check");
  } catch (error) {
    if (process.argv.includes("--verbose")) for (const { output } of cluster.replicas) console.error(output);
    throw error;
  } finally {
    await cluster.close();
    authority.close();
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()); tries++) {
    assert.ok(tries < 400, "it does not happen");
    await delay(50);
  }
}

async function strangers(cluster: Cluster, authority: Authority, holder: number): Promise<void> {
  const url = `${cluster.urlOf(holder)}/api/federations`;
  const headers = { "consilium-forwarded": "127.0.0.1;AAAA" };
  const foreign = new Authority();
  const { cert, key } = foreign.issue("hospital");
  for (const tls of [{ ca: authority.ca }, { ca: authority.ca, cert, key }]) {
    const network = openNetwork(url, { env: {}, tls, direct: fetch });
    await assert.rejects(network.fetch(url, { headers }), "no certificate of the authority, no answer");
    await network.close();
  }
  foreign.close();
  // A hospital's certificate is good for the door, and says nothing about who calls.
  assert.equal((await cluster.network.fetch(url, { headers })).status, 401);
}

/** Someone has the holder's address, and a certificate of an authority of his own. */
async function impostor(cluster: Cluster, other: number): Promise<void> {
  const foreign = new Authority();
  const seen = { connections: 0, requests: 0 };
  const server = createServer(foreign.issue("coordinator"), (_request, response) => {
    seen.requests += 1;
    response.end("{}");
  });
  server.on("connection", () => (seen.connections += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await cluster.database.query("UPDATE leases SET url = $1", [`https://127.0.0.1:${port}`]);
  const url = `${cluster.urlOf(other)}/api/federations/spine`;
  const headers = { authorization: `Bearer ${cluster.operatorToken}` };
  // Leases are looked at every second.
  await until(async () => {
    await cluster.network.fetch(url, { headers });
    return seen.connections > 0;
  });
  const response = await cluster.network.fetch(url, { headers });
  assert.equal(response.status, 503, "as while a federation is on its way");
  assert.equal(seen.requests, 0, "nothing was sent");
  server.close();
  server.closeAllConnections();
  foreign.close();
}
