/** A whole consortium of real processes on 127.0.0.1: phantom hospitals, one coordinator, one agent per hospital. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { federationStatusSchema, type FederationStatus } from "@consilium/shared/protocol/http";
import type { PlanInput } from "@consilium/shared/plan";
import { makeHospitals } from "../../deploy/demo/phantom/hospital.ts";
import { startCaptureProxy, type CaptureProxy } from "./capture-proxy.ts";
import { Cli, runCli } from "./cli.ts";

export const SITES = ["hospital-a", "hospital-b", "hospital-c"] as const;
export type Site = (typeof SITES)[number];

export class Consortium {
  readonly dir: string;
  readonly proxy: CaptureProxy;
  #coordinator: Cli;
  readonly #port: number;
  readonly #running = new Set<Cli>();

  private constructor(dir: string, coordinator: Cli, port: number, proxy: CaptureProxy) {
    this.dir = dir;
    this.#coordinator = coordinator;
    this.#port = port;
    this.proxy = proxy;
  }

  /** Draws the images, enrols every site and fills its cache; nothing trains yet. */
  static async create(plan: PlanInput, images: number): Promise<Consortium> {
    const dir = await mkdtemp(path.join(tmpdir(), "consilium-e2e-"));
    await makeHospitals(path.join(dir, "data"), { seed: 7, images });
    await writeFile(path.join(dir, "plan.json"), JSON.stringify(plan));
    const coordinator = serve(dir, 0);
    const { url } = await coordinator.waitFor(({ event }) => event === "listening");
    const port = Number(new URL(String(url)).port);
    const consortium = new Consortium(dir, coordinator, port, await startCaptureProxy(port));
    try {
      await Promise.all(SITES.map((site) => consortium.#enrol(site)));
    } catch (error) {
      await consortium.close();
      throw error;
    }
    return consortium;
  }

  async #enrol(site: Site): Promise<void> {
    const home = this.home(site);
    const invitation = await runCli("coordinator", [
      "invite",
      "--home",
      this.#coordinatorHome(),
      "--site",
      site,
      "--json",
    ]);
    await runCli("site", ["init", "--home", home, "--site", site, "--json"]);
    const token = String(invitation["token"]);
    const joined = await runCli("site", [
      "join",
      "--home",
      home,
      "--coordinator",
      this.proxy.url,
      "--token",
      token,
      "--json",
    ]);
    await runCli("site", ["plan", "approve", String(joined["planHash"]), "--home", home, "--json"]);
    const labels = path.join(this.images(site), "labels.csv");
    await runCli("site", ["ingest", this.images(site), "--home", home, "--labels", labels, "--json"]);
  }

  home(site: Site): string {
    return path.join(this.dir, site);
  }

  images(site: Site): string {
    return path.join(this.dir, "data", site);
  }

  #coordinatorHome(): string {
    return path.join(this.dir, "coordinator");
  }

  /** Starts a site's agent. */
  run(site: Site): Cli {
    const cli = new Cli("site", ["run", "--home", this.home(site), "--threads", "1", "--json"]);
    this.#running.add(cli);
    return cli;
  }

  killCoordinator(): Promise<unknown> {
    return this.#coordinator.kill("SIGKILL");
  }

  /** On the same port, as a service manager would. */
  async restartCoordinator(): Promise<void> {
    this.#coordinator = serve(this.dir, this.#port);
    await this.#coordinator.waitFor(({ event }) => event === "listening");
  }

  async status(): Promise<FederationStatus> {
    const token = (await readFile(path.join(this.#coordinatorHome(), "operator.token"), "utf8")).trim();
    const plan = JSON.parse(await readFile(path.join(this.dir, "plan.json"), "utf8")) as PlanInput;
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/federations/${plan.federation}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return federationStatusSchema.parse(await response.json());
  }

  /** Everything that any process has printed. */
  output(): string {
    return [this.#coordinator, ...this.#running].map(({ output }) => output).join("\n");
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running, this.#coordinator].map((cli) => cli.kill()));
    await this.proxy.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

function serve(dir: string, port: number): Cli {
  return new Cli("coordinator", [
    "serve",
    ...["--home", path.join(dir, "coordinator"), "--host", "127.0.0.1", "--port", String(port)],
    ...["--plan", path.join(dir, "plan.json"), "--json"],
  ]);
}
