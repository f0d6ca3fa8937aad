/** A coordinator under attack: it, its attackers and its sites, each where they would be in life. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { scriptArguments } from "@consilium/shared/threads";
import type { Coordinator, CoordinatorOptions } from "../../../coordinator/src/app.ts";
import { inviteSite, smallModel, testPlan } from "../../../coordinator/src/testing/coordinator.ts";
import { FakeSite } from "../../../coordinator/src/testing/fake-site.ts";
import type { Assault, Losses } from "./attacks.ts";

const MIB = 1024 * 1024;

export class Siege {
  readonly #folder: string;
  readonly #process: ChildProcess;
  readonly #attackers: ChildProcess[] = [];
  readonly #sites: FakeSite[] = [];
  readonly #access: Pick<Coordinator, "url" | "operatorToken">;

  private constructor(folder: string, child: ChildProcess, access: Siege["access"]) {
    this.#folder = folder;
    this.#process = child;
    this.#access = access;
  }

  static async lay(settings: Partial<CoordinatorOptions> = {}): Promise<Siege> {
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-abuse-"));
    const options = { home: folder, host: "127.0.0.1", port: 0, plan: testPlan(), gatherMs: 0, ...settings };
    const child = start("coordinator-main.ts", JSON.stringify(options));
    return new Siege(folder, child, await answerOf<Siege["access"]>(child));
  }

  get access(): Pick<Coordinator, "url" | "operatorToken"> {
    return this.#access;
  }

  get port(): number {
    return Number(new URL(this.#access.url).port);
  }

  /** Enrolled and in possession of a session. */
  async site(name: string): Promise<FakeSite> {
    const site = new FakeSite(name, this.#access.url, smallModel());
    this.#sites.push(site);
    await site.enrol(await inviteSite(this.#access, name));
    await site.openSession();
    return site;
  }

  /** An errand of an honest site from beginning to end: two sockets, hello, an upload in chunks. */
  async errand(name: string): Promise<string> {
    const site = await this.site(name);
    await site.connect();
    const outcome = await site.uploadGenesis();
    site.disconnect();
    return outcome;
  }

  /** @returns when every attacker has begun */
  async attack(assault: Omit<Assault, "port">): Promise<{ losses(): Promise<Losses> }> {
    const child = start("attackers-main.ts");
    this.#attackers.push(child);
    child.send({ ...assault, port: this.port });
    await answerOf<Losses>(child);
    return {
      losses: () => {
        child.send("losses");
        return answerOf<Losses>(child);
      },
    };
  }

  /** Of the coordinator's process, after tidying up. */
  async rssMiB(): Promise<number> {
    this.#process.send("memory");
    return (await answerOf<{ rss: number }>(this.#process)).rss / MIB;
  }

  async peace(): Promise<void> {
    for (const child of this.#attackers.splice(0)) await end(child);
  }

  async lift(): Promise<void> {
    for (const site of this.#sites) site.disconnect();
    await this.peace();
    await end(this.#process);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

function start(main: string, ...args: readonly string[]): ChildProcess {
  const [script, file] = scriptArguments(new URL(main, import.meta.url));
  return fork(script, [file, ...args], { execArgv: ["--expose-gc"] });
}

async function answerOf<T>(child: ChildProcess): Promise<T> {
  const [answer] = (await once(child, "message")) as [T];
  return answer;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
