/** What can happen to a federation. Each fault undoes itself, for the world is expected to recover and not to be mended. */
import { createReadStream } from "node:fs";
import { open, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CLEAR } from "./proxy.ts";
import type { Random } from "./random.ts";
import type { ChaosSite, World } from "./world.ts";

export const FAULTS = [
  "kill-coordinator",
  "kill-site",
  "kill-everyone",
  "stop-coordinator",
  "stop-site",
  "cut",
  "refuse",
  "slow",
  "half-open",
  "unplug",
  "lossy",
  "disk-full-coordinator",
  "disk-full-site",
  "flip-upload",
] as const;
export type FaultName = (typeof FAULTS)[number];

export interface Fault {
  readonly name: FaultName;
  /** What it was done to. */
  readonly target: string;
  /** How many processes were killed by it. */
  readonly kills: number;
  /** Why the machine does not do it; null if it was done. */
  readonly skipped: string | null;
}

const WEIGHTS: readonly (readonly [number, FaultName])[] = [
  [5, "kill-coordinator"],
  [7, "kill-site"],
  [1, "kill-everyone"],
  [1, "stop-coordinator"],
  [2, "stop-site"],
  [2, "cut"],
  [1, "refuse"],
  [2, "slow"],
  [1, "half-open"],
  [2, "unplug"],
  [1, "lossy"],
  [1, "disk-full-coordinator"],
  [1, "disk-full-site"],
  [1, "flip-upload"],
];

export function nextFault(random: Random): { readonly afterMs: number; readonly name: FaultName } {
  return { afterMs: random.between(100, 2_500), name: random.weighted(WEIGHTS) };
}

/** Resolves once it is over. All choices are drawn before anything is waited for. */
export async function inflict(world: World, name: FaultName, random: Random): Promise<Fault> {
  const site = random.pick(world.sites);
  const durationMs = random.between(300, 4_000);
  const done = (target: string, kills = 0): Fault => ({ name, target, kills, skipped: null });
  switch (name) {
    case "kill-coordinator":
      return done("coordinator", Number(world.coordinator.signal("SIGKILL")));
    case "kill-site":
      return done(site.name, Number(site.process.signal("SIGKILL")));
    case "kill-everyone": {
      const killed = world.processes.map((process) => process.signal("SIGKILL"));
      return done("everyone", killed.filter(Boolean).length);
    }
    case "stop-coordinator":
      await stopped(world.coordinator, durationMs);
      return done("coordinator");
    case "stop-site":
      await stopped(site.process, 2 * durationMs);
      return done(site.name);
    case "cut":
      site.proxy.cut();
      return done(site.name);
    case "refuse":
      site.proxy.refusing = true;
      site.proxy.cut();
      await delay(durationMs);
      site.proxy.refusing = false;
      return done(site.name);
    case "slow":
      site.proxy.conditions = { delayMs: random.between(0, 150), bytesPerSecond: random.between(1e5, 2e6) };
      await delay(2 * durationMs);
      site.proxy.conditions = CLEAR;
      return done(site.name);
    case "half-open":
      site.proxy.halfOpen();
      await delay(durationMs);
      site.proxy.forgetHalfOpen();
      return done(site.name);
    case "unplug":
    case "lossy":
      return overLink(name, world, random, durationMs);
    case "disk-full-coordinator":
      return filled(done("coordinator"), world.coordinatorDisk, durationMs);
    case "disk-full-site":
      return filled(done(site.name), site.disk, durationMs);
    case "flip-upload":
      return done("coordinator", await flipUpload(world, random));
  }
}

async function stopped(process: ChaosSite["process"], durationMs: number): Promise<void> {
  process.signal("SIGSTOP");
  await delay(durationMs);
  process.signal("SIGCONT");
}

/** To the site that has a network of its own. One that is killed while nothing passes leaves a socket that nobody ends. */
async function overLink(
  name: "unplug" | "lossy",
  { sites, linkless }: World,
  random: Random,
  durationMs: number,
): Promise<Fault> {
  const isKilled = random.next() < 0.5;
  const [delayMs, lossPercent] = [random.between(5, 80), random.between(1, 10)];
  const site = sites.find(({ link }) => link !== null);
  if (site?.link == null) return { name, target: "nobody", kills: 0, skipped: linkless };
  const done = { name, target: site.name, kills: 0, skipped: null };
  if (name === "lossy") {
    const isLossy = await site.link.lossy(2 * durationMs, delayMs, lossPercent);
    return isLossy ? done : { ...done, skipped: "this kernel has no netem" };
  }
  let kills = 0;
  await site.link.unplugged(2 * durationMs, () => {
    if (isKilled) kills = Number(site.process.signal("SIGKILL"));
  });
  return { ...done, kills };
}

/** Leaves a few bytes, so that some writes fail in their middle. */
async function filled(fault: Fault, disk: string | null, durationMs: number): Promise<Fault> {
  if (disk === null) return { ...fault, skipped: "mounting a file system is not permitted here" };
  const ballast = path.join(disk, "ballast");
  const { bavail, bsize } = await statfs(disk);
  await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 3 * bsize))).catch(() => undefined);
  await delay(durationMs);
  await rm(ballast, { force: true });
  return fault;
}

/** A bit of an update changes on the disk while the coordinator is down: staged, or taken already. Never of a checkpoint. */
async function flipUpload(world: World, random: Random): Promise<number> {
  const blobs = path.join(world.coordinatorHome, "blobs");
  const where = random.next();
  const isTaken = random.next() < 0.6;
  const killed = world.coordinator.signal("SIGKILL");
  const files = (await readdir(blobs, { recursive: true }).catch(() => []))
    .filter((file) => (isTaken ? file.startsWith("sha256/") : file.endsWith(".part")))
    .sort();
  for (const file of files) {
    const full = path.join(blobs, file);
    const info = await stat(full).catch(() => null);
    if (info === null || !info.isFile() || info.size < 1024 || (await isCheckpoint(full))) continue;
    await flip(full, Math.floor(where * info.size));
    break;
  }
  return Number(killed);
}

async function isCheckpoint(file: string): Promise<boolean> {
  for await (const piece of createReadStream(file, { end: 3 })) {
    return (piece as Buffer).toString("latin1") === "CSLM";
  }
  return false;
}

async function flip(file: string, offset: number): Promise<void> {
  const handle = await open(file, "r+");
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8(0) ^ 0x10);
    await handle.write(byte, 0, 1, offset);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
