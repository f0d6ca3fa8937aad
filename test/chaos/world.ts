/** The processes of one episode: a coordinator, sites behind proxies of their own, and what restarts them. */
import { randomBytes } from "node:crypto";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { SiteId } from "@consilium/shared/ids";
import { parsePlan, type Plan, type PlanInput } from "@consilium/shared/plan";
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import { parseToken } from "@consilium/shared/protocol/token";
import { scriptArguments } from "@consilium/shared/threads";
import { enrol } from "../../site-agent/src/federation/enrol.ts";
import { DEFAULT_POLICY } from "../../site-agent/src/policy.ts";
import { initHome, openHome, type Home } from "../../site-agent/src/home/home.ts";
import { FaultProxy } from "./proxy.ts";
import { SiteLink } from "./site-link.ts";

const root = path.resolve(import.meta.dirname, "../..");
const SITE = new URL("./site-main.ts", import.meta.url);
const DISK_MIB = 96;
const RESTART_MS = 150;

export interface WorldOptions {
  readonly secure: Plan["aggregation"]["secure"];
  readonly sites: number;
  readonly rounds: number;
  readonly trainingMs: number;
}

/** A program that is started again whenever it is killed or fails, until it ends well. */
export class Supervised {
  readonly name: string;
  /** Program and arguments. */
  readonly #command: () => readonly [string, ...string[]];
  #child: ChildProcess | null = null;
  #lines: string[] = [];
  #wanted = true;
  starts = 0;
  /** What was printed last before each end with an error; a service manager starts such a program again. */
  readonly failures: (readonly string[])[] = [];
  /** How it ended by itself; null while it has not. */
  ended: { readonly code: number | null } | null = null;

  constructor(name: string, command: () => readonly [string, ...string[]]) {
    this.name = name;
    this.#command = command;
  }

  start(): void {
    if (!this.#wanted) return;
    this.starts += 1;
    const [program, ...args] = this.#command();
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LOG_LEVEL: "info", ORT_DISABLE_TELEMETRY: "1" },
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.#lines.push(line);
        if (this.#lines.length > 400) this.#lines = this.#lines.slice(-200);
      });
    }
    child.on("close", (code, signal) => {
      this.#child = null;
      if (signal === null && code !== 0 && this.#wanted) this.failures.push(this.#lines.slice(-12));
      if (code === 0 || !this.#wanted) this.ended = { code };
      else
        setTimeout(
          () => {
            this.start();
          },
          code === null ? RESTART_MS : 4 * RESTART_MS,
        );
    });
  }

  /** What it printed last, over all its lives. */
  get output(): readonly string[] {
    return this.#lines;
  }

  get alive(): boolean {
    return this.#child !== null;
  }

  /** @returns false if there was nothing to send it to */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child?.kill(signal) ?? false;
  }

  async stop(signal: NodeJS.Signals): Promise<number | null> {
    this.#wanted = false;
    const child = this.#child;
    if (child === null) return this.ended?.code ?? null;
    const closed = new Promise<number | null>((resolve) => child.on("close", resolve));
    child.kill("SIGCONT");
    child.kill(signal);
    return Promise.race([closed, delay(10_000, null)]);
  }
}

export interface ChaosSite {
  readonly name: SiteId;
  readonly home: string;
  readonly proxy: FaultProxy;
  readonly process: Supervised;
  /** A file system of its own, or null where that is not permitted. */
  readonly disk: string | null;
  /** A network of its own: of one site, where that is permitted. */
  readonly link: SiteLink | null;
}

export class World {
  readonly dir: string;
  readonly plan: Plan;
  readonly coordinator: Supervised;
  readonly coordinatorDisk: string | null;
  readonly sites: readonly ChaosSite[];
  /** Why no site has a network of its own; null if one has. */
  readonly linkless: string | null;
  #port = 0;
  #token = "";
  readonly #mounts: string[];

  private constructor(
    parts: Pick<World, "dir" | "plan" | "coordinator" | "coordinatorDisk" | "sites" | "linkless">,
    mounts: string[],
  ) {
    this.dir = parts.dir;
    this.plan = parts.plan;
    this.coordinator = parts.coordinator;
    this.coordinatorDisk = parts.coordinatorDisk;
    this.sites = parts.sites;
    this.linkless = parts.linkless;
    this.#mounts = mounts;
  }

  /** Everyone has joined; no site runs yet. */
  static async create({ secure, sites, rounds, trainingMs }: WorldOptions): Promise<World> {
    const dir = await mkdtemp(path.join(tmpdir(), "consilium-chaos-"));
    const mounts: string[] = [];
    const plan = planOf(secure, rounds);
    await writeFile(path.join(dir, "plan.json"), JSON.stringify(plan));
    const coordinatorDisk = await smallDisk(path.join(dir, "coordinator"), mounts);
    const ref: { world: World | null } = { world: null };
    const port = (): number => ref.world?.port ?? 0;
    const coordinator = new Supervised("coordinator", () => [
      process.execPath,
      path.join(root, "coordinator/bin/consilium-coordinator.mjs"),
      "serve",
      ...["--home", path.join(dir, "coordinator"), "--port", String(port()), "--gather-ms", "1000"],
      ...["--plan", path.join(dir, "plan.json"), "--json"],
    ]);
    const members: ChaosSite[] = [];
    const socket = path.join(dir, "link.sock");
    const linkProxy = await FaultProxy.start(port, socket);
    const link = await SiteLink.open(socket);
    for (let i = 0; i < sites; i++) {
      const name = `site-${"abcdefghijklmnop"[i] ?? i}` as SiteId;
      const home = path.join(dir, name);
      const disk = await smallDisk(home, mounts);
      const args = [...scriptArguments(SITE), home, String(trainingMs)];
      const own = i === sites - 1 && typeof link !== "string" ? link : null;
      const run = new Supervised(name, () => own?.command(args) ?? [process.execPath, ...args]);
      const proxy = own === null ? await FaultProxy.start(port) : linkProxy;
      members.push({ name, home, disk, process: run, proxy, link: own });
    }
    const linkless = typeof link === "string" ? link : null;
    if (linkless !== null) await linkProxy.close();
    const world = new World({ dir, plan, coordinator, coordinatorDisk, sites: members, linkless }, mounts);
    ref.world = world;
    coordinator.start();
    await world.#listening();
    for (const { name, home, proxy, link } of members) await world.#enrol(name, home, link?.url ?? proxy.url);
    return world;
  }

  get port(): number {
    return this.#port;
  }

  get coordinatorHome(): string {
    return path.join(this.dir, "coordinator");
  }

  get processes(): readonly Supervised[] {
    return [this.coordinator, ...this.sites.map((site) => site.process)];
  }

  homeOf(site: ChaosSite): Promise<Home> {
    return openHome(site.home);
  }

  /** Null while the coordinator does not answer. */
  async status(): Promise<FederationStatus | null> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.#port}/api/federations/${this.plan.federation}`, {
        headers: { authorization: `Bearer ${this.#token}` },
        signal: AbortSignal.timeout(3_000),
      });
      return federationStatusSchema.parse(await response.json());
    } catch {
      return null;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.stop("SIGKILL")));
    for (const { link } of this.sites) await link?.close();
    await Promise.all(this.sites.map(({ proxy }) => proxy.close()));
    for (const mount of this.#mounts) spawnSync("umount", ["-l", mount]);
    await rm(this.dir, { recursive: true, force: true });
  }

  async #listening(): Promise<void> {
    for (let tries = 0; tries < 300; tries++) {
      const line = this.coordinator.output.find((text) => text.includes('"listening"'));
      if (line !== undefined) {
        this.#port = Number(new URL((JSON.parse(line) as { url: string }).url).port);
        this.#token = (await readFile(path.join(this.coordinatorHome, "operator.token"), "utf8")).trim();
        return;
      }
      await delay(100);
    }
    throw new Error(`the coordinator does not start:\n${this.coordinator.output.join("\n")}`);
  }

  /** The same call, past what lies between: @param url where a site finds the coordinator */
  #hereFor(address: string | URL, url: string): string {
    return new URL(address).href.replace(url, `http://127.0.0.1:${this.#port}`);
  }

  async #enrol(site: SiteId, folder: string, url: string): Promise<void> {
    const random = (length: number) => new Uint8Array(randomBytes(length));
    const { home, identity } = await initHome(folder, site, random, false);
    const response = await fetch(
      `http://127.0.0.1:${this.#port}/api/federations/${this.plan.federation}/invitations`,
      {
        method: "POST",
        headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
        body: JSON.stringify({ site }),
      },
    );
    const { token } = (await response.json()) as { token: string };
    const { send } = enrol({
      site,
      identity,
      coordinatorUrl: `${url}/`,
      token: parseToken(token),
      // The address may be one that only the site's namespace has.
      fetch: (address, init) =>
        fetch(address instanceof Request ? address : this.#hereFor(address, url), init),
      signal: AbortSignal.timeout(30_000),
    });
    await home.enrol(await send());
    await home.setPolicy({
      ...DEFAULT_POLICY,
      planApproval: "automatic",
      requireSecureAggregation: this.plan.aggregation.secure === "masked",
    });
  }
}

function planOf(secure: Plan["aggregation"]["secure"], rounds: number): Plan {
  const input: PlanInput = {
    federation: "chaos",
    title: "Chaos",
    rounds,
    minSites: 3,
    roundDeadlineMs: 20_000,
    training: { warmupRounds: 0, batchSize: 8, localEpochs: 1, learningRate: 0.1, weightDecay: 0.001 },
    aggregation: { secure, examplesCap: 64 },
  };
  return parsePlan(input);
}

/** A small file system of its own at `folder`, or a plain folder and null where mounting is not permitted. */
async function smallDisk(folder: string, mounts: string[]): Promise<string | null> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m,mode=700`, "tmpfs", folder]);
  if (mounted.status !== 0) return null;
  mounts.push(folder);
  return folder;
}
