/**
 * A network of its own for one site, where the machine permits it: two namespaces with a pair of virtual cards between them.
 * The site is alone in one; in the other a relay (relay-main.ts) takes its connections and hands them out over a Unix socket,
 * so that nothing of this has an address outside. What the kernel does to TCP on a dead link no proxy can: packets vanish,
 * and nobody is told.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { scriptArguments } from "@consilium/shared/threads";

const PREFIX = "consilium-chaos";
const CARD = "veth0";
const [NEAR_ADDRESS, FAR_ADDRESS] = ["10.203.0.1", "10.203.0.2"] as const;
const PORT = "8470";

type Side = "near" | "far";

export class SiteLink {
  readonly url = `http://${NEAR_ADDRESS}:${PORT}`;
  readonly #names: Readonly<Record<Side, string>>;
  readonly #relay: ChildProcess;
  readonly #removeOnExit: () => void;

  private constructor(names: Readonly<Record<Side, string>>, relay: ChildProcess, removeOnExit: () => void) {
    this.#names = names;
    this.#relay = relay;
    this.#removeOnExit = removeOnExit;
  }

  /** @param socket a Unix socket, which listens already  @returns why there is none, if so */
  static async open(socket: string): Promise<SiteLink | string> {
    removeAbandoned();
    const names = { near: `${PREFIX}-${process.pid}-near`, far: `${PREFIX}-${process.pid}-far` };
    // Also when this program fails or is interrupted; what a SIGKILL leaves behind the next run removes.
    const remove = (): void => {
      for (const name of Object.values(names)) spawnSync("ip", ["netns", "del", name]);
    };
    process.once("exit", remove);
    const problem = make(names);
    if (problem !== null) {
      process.off("exit", remove);
      remove();
      return problem;
    }
    const script = scriptArguments(new URL("./relay-main.ts", import.meta.url));
    const relay = spawn(
      "ip",
      inside(names.near, [...script, NEAR_ADDRESS, PORT, socket]),
      // It ends when its input does, whatever ends this program.
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    await once(createInterface({ input: relay.stdout }), "line");
    return new SiteLink(names, relay, remove);
  }

  /** For `spawn`: Node.js with these arguments, in the site's namespace. */
  command(args: readonly string[]): [string, ...string[]] {
    return ["ip", ...inside(this.#names.far, args)];
  }

  /** As when a cable is pulled: no reset, no end, no answer. @param meanwhile what happens while nothing passes */
  async unplugged(durationMs: number, meanwhile: () => void): Promise<void> {
    this.#set("down");
    meanwhile();
    await delay(durationMs);
    this.#set("up");
  }

  /** Packets are late, out of order and lost, each way. @returns false where the kernel cannot do it */
  async lossy(durationMs: number, delayMs: number, lossPercent: number): Promise<boolean> {
    const netem = ["netem", "delay", `${delayMs}ms`, `${delayMs}ms`, "loss", `${lossPercent}%`];
    const shaped = Object.values(this.#names).every((name) =>
      isDone("tc", ["-n", name, "qdisc", "replace", "dev", CARD, "root", ...netem]),
    );
    if (shaped) await delay(durationMs);
    for (const name of Object.values(this.#names)) {
      isDone("tc", ["-n", name, "qdisc", "del", "dev", CARD, "root"]);
    }
    return shaped;
  }

  async close(): Promise<void> {
    const closed = once(this.#relay, "close");
    this.#relay.kill("SIGKILL");
    await closed;
    process.off("exit", this.#removeOnExit);
    this.#removeOnExit();
  }

  #set(state: "up" | "down"): void {
    isDone("ip", ["-n", this.#names.near, "link", "set", CARD, state]);
  }
}

const inside = (name: string, args: readonly string[]): string[] => [
  ...["netns", "exec", name],
  process.execPath,
  ...args,
];

/** @returns what is not permitted, or null */
function make({ near, far }: Readonly<Record<Side, string>>): string | null {
  if (spawnSync("ip", ["-V"]).status !== 0) return "there is no ip command here";
  const steps = [
    ["netns", "add", near],
    ["netns", "add", far],
    ["link", "add", CARD, "netns", near, "type", "veth", "peer", "name", CARD, "netns", far],
    ["-n", near, "addr", "add", `${NEAR_ADDRESS}/30`, "dev", CARD],
    ["-n", far, "addr", "add", `${FAR_ADDRESS}/30`, "dev", CARD],
    ...[near, far].flatMap((name) => [
      ["-n", name, "link", "set", "lo", "up"],
      ["-n", name, "link", "set", CARD, "up"],
    ]),
  ];
  return steps.every((step) => isDone("ip", step))
    ? null
    : "network namespaces are not permitted here (they take root and CAP_NET_ADMIN)";
}

/** Namespaces of runs that were killed. */
function removeAbandoned(): void {
  const { stdout } = spawnSync("ip", ["netns", "list"], { encoding: "utf8" });
  for (const [name, id] of (stdout as string | null)?.matchAll(/^consilium-chaos-(\d+)-\w+/gm) ?? []) {
    if (!isAlive(Number(id))) isDone("ip", ["netns", "del", name]);
  }
}

function isAlive(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch {
    return false;
  }
}

const isDone = (command: string, args: readonly string[]): boolean => spawnSync(command, args).status === 0;
