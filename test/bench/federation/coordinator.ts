/** The coordinator as a process of its own, and what it says of the processor time and memory that it took. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parsePlan, type Plan, type PlanInput } from "@consilium/shared/plan";
import { Cli } from "../../support/cli.ts";

export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

export class MeasuredCoordinator {
  readonly url: string;
  readonly plan: Plan;
  readonly #folder: string;
  readonly #process: Cli;
  readonly #token: string;

  private constructor(folder: string, process: Cli, url: string, token: string, plan: Plan) {
    this.#folder = folder;
    this.#process = process;
    this.#token = token;
    this.url = url;
    this.plan = plan;
  }

  static async start(input: PlanInput): Promise<MeasuredCoordinator> {
    const plan = parsePlan(input);
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-bench-"));
    const home = path.join(folder, "home");
    const planFile = path.join(folder, "plan.json");
    await writeFile(planFile, JSON.stringify(input));
    const cli = new Cli(
      "coordinator",
      ["serve", "--home", home, "--port", "0", "--plan", planFile, "--gather-ms", "0", "--json"],
      { LOG_LEVEL: "error" },
    );
    const { url } = await cli.waitFor(({ event }) => event === "listening");
    const token = (await readFile(path.join(home, "operator.token"), "utf8")).trim();
    return new MeasuredCoordinator(folder, cli, String(url), token, plan);
  }

  async invite(site: string): Promise<string> {
    const response = await fetch(`${this.url}/api/federations/${this.plan.federation}/invitations`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      body: JSON.stringify({ site }),
    });
    return ((await response.json()) as { token: string }).token;
  }

  async usage(): Promise<Usage> {
    const response = await fetch(`${this.url}/metrics`, {
      headers: { authorization: `Bearer ${this.#token}` },
    });
    const text = await response.text();
    const read = (name: string): number => {
      const found = new RegExp(`^consilium_coordinator_process_${name} (\\S+)$`, "m").exec(text)?.[1];
      return Number(found ?? NaN);
    };
    return { cpuSeconds: read("cpu_seconds_total"), residentBytes: read("resident_memory_bytes") };
  }

  /** The largest resident memory while `work` runs, looked at ten times a second. */
  async watchMemory<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly peakBytes: number }> {
    let peakBytes = 0;
    const over = new AbortController();
    const watch = (async () => {
      while (!over.signal.aborted) {
        peakBytes = Math.max(peakBytes, (await this.usage()).residentBytes);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    try {
      return { result: await work(), peakBytes };
    } finally {
      over.abort();
      await watch;
    }
  }

  /** Waits for a line of its output. */
  async says(event: string): Promise<void> {
    await this.#process.waitFor((line) => line["event"] === event);
  }

  async close(): Promise<void> {
    await this.#process.kill("SIGTERM");
    await rm(this.#folder, { recursive: true, force: true });
  }
}
