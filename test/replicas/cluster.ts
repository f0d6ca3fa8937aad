/** Coordinators as processes of their own on one PostgreSQL and one S3, behind a balancer. */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { PlanInput } from "@consilium/shared/plan";
import type { SiteId } from "@consilium/shared/ids";
import { parseToken } from "@consilium/shared/protocol/token";
import pg from "pg";
import { openHome } from "../../coordinator/src/home.ts";
import { startPostgres, type PostgresServer } from "../../coordinator/src/testing/postgres-server.ts";
import { startS3Server, type S3Server } from "../../coordinator/src/testing/s3-server.ts";
import { enrol } from "../../site-agent/src/federation/enrol.ts";
import { initHome } from "../../site-agent/src/home/home.ts";
import { openNetwork, type Network, type NetworkTls } from "../../site-agent/src/federation/network.ts";
import type { Authority, Issued } from "../support/authority.ts";
import { Cli } from "../support/cli.ts";
import { OPEN_POLICY, random, TestSite } from "../support/federation.ts";
import { startBalancer, type Balancer } from "./balancer.ts";

interface Parts {
  readonly folder: string;
  readonly postgres: PostgresServer;
  readonly s3: S3Server;
  readonly balancer: Balancer;
  readonly database: pg.Pool;
  readonly databaseUrl: string;
  readonly operatorToken: string;
  /** Of coordinators and sites; null where nobody speaks TLS. */
  readonly authority: Authority | null;
  readonly tls: NetworkTls;
  readonly network: Network;
}

export class Cluster {
  readonly folder: string;
  readonly database: pg.Pool;
  readonly url: string;
  readonly operatorToken: string;
  /** The way of a site to any coordinator, or to the balancer. */
  readonly network: Network;
  readonly replicas: Cli[] = [];
  readonly ports: readonly number[];
  readonly #parts: Parts;

  private constructor(parts: Parts, ports: readonly number[]) {
    this.#parts = parts;
    this.folder = parts.folder;
    this.database = parts.database;
    this.url = parts.balancer.url;
    this.operatorToken = parts.operatorToken;
    this.network = parts.network;
    this.ports = ports;
  }

  /** @param authority makes everyone speak TLS and show certificates; then there is no balancer, and sites choose themselves */
  static async start(
    size: number,
    plans: readonly PlanInput[],
    authority: Authority | null = null,
  ): Promise<Cluster> {
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-replicas-"));
    const postgres = await startPostgres();
    const s3 = await startS3Server(path.join(folder, "s3"));
    const ports: number[] = [];
    for (let i = 0; i < size; i++) ports.push(await freePort());
    const balancer = await startBalancer(authority === null ? ports : []);
    const databaseUrl = await postgres.newDatabase();
    const database = new pg.Pool({ connectionString: databaseUrl });
    const home = await openHome(homeOf(folder, 0), (length) => new Uint8Array(randomBytes(length)));
    for (let i = 1; i < size; i++) {
      await mkdir(homeOf(folder, i), { recursive: true });
      for (const file of ["identity.json", "operator.token"]) {
        await copyFile(path.join(homeOf(folder, 0), file), path.join(homeOf(folder, i), file));
      }
    }
    for (const plan of plans) await writeFile(planFile(folder, plan), JSON.stringify(plan));
    const { operatorToken } = home;
    const tls: NetworkTls =
      authority === null ? {} : { ca: authority.ca, ...pemOf(authority.issue("hospital")) };
    const network = openNetwork("https://127.0.0.1/", { env: {}, tls, direct: fetch });
    const parts = {
      ...{ folder, postgres, s3, balancer, database, databaseUrl },
      ...{ operatorToken, authority, tls, network },
    };
    const cluster = new Cluster(parts, ports);
    for (let i = 0; i < size; i++) await cluster.startReplica(i, plans);
    return cluster;
  }

  async startReplica(index: number, plans: readonly PlanInput[] = []): Promise<void> {
    const { folder, databaseUrl, s3, authority } = this.#parts;
    const own = authority?.issue(`coordinator-${index}`);
    const replica = new Cli(
      "coordinator",
      [
        "serve",
        ...["--home", homeOf(folder, index), "--port", String(this.ports[index]), "--gather-ms", "300"],
        ...["--blobs", s3.locationOf("replicas"), "--json"],
        ...plans.flatMap((plan) => ["--plan", planFile(folder, plan)]),
        ...(own === undefined || authority === null
          ? []
          : ["--tls-cert", own.certFile, "--tls-key", own.keyFile, "--tls-client-ca", authority.caFile]),
      ],
      { CONSILIUM_DATABASE_URL: databaseUrl, ...s3.env },
    );
    this.replicas[index] = replica;
    await replica.waitFor(({ event }) => event === "listening");
  }

  /** Which replica runs it. */
  async holderOf(federation: string): Promise<number> {
    const { rows } = await this.database.query<{ url: string }>(
      "SELECT url FROM leases WHERE federation = $1",
      [federation],
    );
    return this.ports.indexOf(Number(new URL(rows[0]?.url ?? "http://none").port));
  }

  urlOf(index: number): string {
    return `${this.#parts.authority === null ? "http" : "https"}://127.0.0.1:${this.ports[index]}`;
  }

  /** A site that has joined through the balancer, or through the coordinator at `url`. */
  async site(federation: string, name: string, url = this.url): Promise<TestSite> {
    const site = name as SiteId;
    const { home, identity } = await initHome(path.join(this.folder, federation, name), site, random, false);
    const { token } = (await this.#invite(federation, name, url)) as { token: string };
    const { send } = enrol({
      site,
      identity,
      coordinatorUrl: `${url}/`,
      token: parseToken(token),
      fetch: this.network.fetch,
      signal: new AbortController().signal,
    });
    await home.enrol(await send());
    await home.setPolicy(OPEN_POLICY);
    return new TestSite(home, this.#parts.tls);
  }

  async #invite(federation: string, site: string, url: string): Promise<unknown> {
    const response = await this.network.fetch(`${url}/api/federations/${federation}/invitations`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.operatorToken}`, "content-type": "application/json" },
      body: JSON.stringify({ site }),
    });
    return response.json();
  }

  stop(index: number): void {
    this.replicas[index]?.signal("SIGSTOP");
  }

  resume(index: number): void {
    this.replicas[index]?.signal("SIGCONT");
  }

  /** As the replica's own command line sees it. */
  async statusAt(index: number): Promise<unknown> {
    const token = await readFile(path.join(homeOf(this.folder, index), "operator.token"), "utf8");
    const response = await this.network.fetch(`${this.urlOf(index)}/api/federations`, {
      headers: { authorization: `Bearer ${token.trim()}` },
    });
    return response.json();
  }

  async close(): Promise<void> {
    for (const replica of this.replicas) {
      await replica.kill();
    }
    await this.#parts.balancer.close();
    await this.network.close();
    await this.database.end();
    await this.#parts.postgres.close();
    await this.#parts.s3.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const homeOf = (folder: string, index: number): string => path.join(folder, `coordinator-${index}`);
const planFile = (folder: string, { federation }: PlanInput): string =>
  path.join(folder, `${federation}.json`);

const pemOf = ({ cert, key }: Issued) => ({ cert, key });

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
