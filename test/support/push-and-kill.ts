/**
 * A PACS pushes, the receiving process is killed in the middle, is started again, and the PACS sends once more what was
 * not acknowledged. Counts what came out of it, by the cache itself and by what is left in the spool.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { imageKey } from "../../site-agent/src/dataset/keys.ts";
import { openHome } from "../../site-agent/src/home/home.ts";
import { Cli, type JsonLine } from "./cli.ts";
import type { PacsFile } from "./pacs-files.ts";

export interface PushOutcome {
  /** Files that the sender saw acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  readonly durationMs: number;
}

/** dcmtk's storescu; ends where the receiver dies. */
export async function storescu(
  port: number,
  files: readonly string[],
  options: readonly string[] = [],
  onAcknowledged: (count: number) => void = () => undefined,
): Promise<PushOutcome> {
  const args = [
    "-v",
    "-xs",
    "-R",
    ...options,
    "-aet",
    "STORESCU",
    "-aec",
    "CONSILIUM",
    "127.0.0.1",
    String(port),
  ];
  const start = performance.now();
  // Without it dcmtk waits 40 ms for each small packet to be confirmed.
  const env = { ...process.env, TCP_NODELAY: "1" };
  const child = spawn("storescu", [...args, ...files], { env, stdio: ["ignore", "pipe", "pipe"] });
  const acknowledged = new Set<string>();
  let sending = "";
  const read = (line: string): void => {
    sending = /Sending file: (.*)$/.exec(line)?.[1] ?? sending;
    if (!line.includes("Received Store Response (Success)")) return;
    acknowledged.add(sending);
    onAcknowledged(acknowledged.size);
  };
  createInterface({ input: child.stdout }).on("line", read);
  createInterface({ input: child.stderr }).on("line", read);
  await once(child, "close");
  return { acknowledged, durationMs: performance.now() - start };
}

export interface KillReport {
  readonly sent: number;
  readonly acknowledgedBeforeKill: number;
  readonly sentAgain: number;
  readonly cached: number;
  readonly quarantined: number;
  /** Acknowledged or not: neither cached nor set aside in the end. */
  readonly lost: number;
  /** Images that the cache or the list of what was received holds more than once. */
  readonly twice: number;
  readonly leftInSpool: number;
  readonly secondPush: { readonly files: number; readonly durationMs: number };
  /** Everything that the receiving processes printed. */
  readonly output: string;
}

export async function pushAndKill(
  homeFolder: string,
  port: number,
  files: readonly PacsFile[],
  killAfter: number,
  threads = 2,
): Promise<KillReport> {
  const args = ["listen", "--home", homeFolder, "--size", "32", "--port", String(port), "--json"];
  const listen = (): Cli =>
    new Cli("site", [...args, "--threads", String(threads), "--allow", "STORESCU@127.0.0.1"]);
  const isListening = ({ event }: JsonLine): boolean => event === "listening";
  const paths = files.map((file) => file.path);

  const first = listen();
  await first.waitFor(isListening);
  const push = await storescu(port, paths, [], (count) => {
    if (count === killAfter) void first.kill("SIGKILL");
  });
  await first.exited;

  const second = listen();
  await second.waitFor(isListening);
  const missing = paths.filter((file) => !push.acknowledged.has(file));
  const again = await storescu(port, missing);
  await second.waitFor(
    ({ event, files: count, waiting }) => event === "progress" && count === files.length && waiting === 0,
  );
  await second.kill("SIGTERM");
  return {
    sent: files.length,
    acknowledgedBeforeKill: push.acknowledged.size,
    sentAgain: missing.length,
    ...(await outcome(homeFolder, files)),
    secondPush: { files: again.acknowledged.size, durationMs: again.durationMs },
    output: first.output + second.output,
  };
}

async function outcome(homeFolder: string, files: readonly PacsFile[]) {
  const home = await openHome(homeFolder);
  const secret = await home.hmacSecret();
  const folder = home.cacheFolder("train");
  const cache = await openImageCache(folder);
  const cached = cache.records.map(({ image }) => image);
  cache.close();
  const list = (await readdir(folder)).find((name) => name.startsWith("received-")) ?? "";
  const lines = (await readFile(path.join(folder, list), "utf8")).trimEnd().split("\n");
  const received = lines.map((line) => JSON.parse(line) as { key: string; outcome: string });
  const quarantined = received.filter(({ outcome }) => outcome === "quarantined").map(({ key }) => key);
  const accounted = new Set([...cached, ...quarantined]);
  const lost = files.filter(({ sopInstanceUid }) => !accounted.has(imageKey(secret, sopInstanceUid)));
  const spools = path.join(homeFolder, "spool");
  const left = (await readdir(spools, { recursive: true })).filter((name) => /\.(dcm|part)$/.test(name));
  return {
    cached: cached.length,
    quarantined: quarantined.length,
    lost: lost.length,
    twice:
      cached.length - new Set(cached).size + received.length - new Set(received.map(({ key }) => key)).size,
    leftInSpool: left.length,
  };
}
