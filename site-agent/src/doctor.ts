/** What `consilium-site doctor` looks at. Each check stands alone: one that fails does not hide the others. */
import { fingerprint } from "@consilium/shared/crypto/identity";
import { ConsiliumError, toConsiliumError } from "@consilium/shared/errors";
import { comparisonOf, verdictOf } from "@consilium/shared/fingerprint/compare";
import { planHash } from "@consilium/shared/plan";
import { formatBytes } from "@consilium/shared/units";
import path from "node:path";
import { siteNetwork, tlsPaths, type NetworkCliOptions } from "./cli/network-options.ts";
import type { CliPorts } from "./cli/ports.ts";
import { describeShape } from "./dataset/types.ts";
import { examineEngines, realMachine } from "./doctor/engines.ts";
import { fail, ok, warn, type Finding } from "./doctor/finding.ts";
import { cohortFile } from "./federation/cohort-file.ts";
import { httpClient } from "./federation/http.ts";
import { receiptsFile } from "./federation/receipts.ts";
import { openSession } from "./federation/session.ts";
import { fileBytes, fileMode, freeBytes, listFolder } from "./home/files.ts";
import { openHome, type Home, type JoinedSite } from "./home/home.ts";

const GIB = 2 ** 30;

export async function examine(
  folder: string,
  options: NetworkCliOptions,
  ports: CliPorts,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [
    ok("node", ports.nodeVersion),
    ...(await attempt("engine", () => examineEngines(realMachine(ports.env), ports.cores))),
    cores(ports),
    memory(ports),
    await disk(folder),
  ];
  let home: Home;
  try {
    home = await openHome(folder);
  } catch (error) {
    return [...findings, fail("home", error)];
  }
  findings.push(
    ...(await attempt("home", () => keys(home))),
    ...(await attempt("caches", () => caches(home))),
    ...(await attempt("receipts", () => receipts(home))),
  );
  let joined: JoinedSite;
  try {
    joined = await home.joined();
  } catch (error) {
    const known = toConsiliumError(error);
    const notJoined = known.code === "home.not-joined";
    return [
      ...findings,
      notJoined ? warn("federation", known.message, known.next) : fail("federation", known),
    ];
  }
  findings.push(
    ...federation(joined),
    ...(await attempt("compared", () => comparedImages(home))),
    ...(await attempt("way out", () => wayOut(home, joined, options, ports))),
    ...(await attempt("coordinator", () => coordinator(home, joined, options, ports))),
  );
  return findings;
}

async function attempt(what: string, check: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await check();
  } catch (error) {
    return [fail(what, error)];
  }
}

function cores({ cores }: CliPorts): Finding {
  return cores > 1
    ? ok("cores", `${cores}`)
    : warn("cores", "1", "Training is slow on one core; give it more.");
}

function memory({ memoryBytes: { total, free } }: CliPorts): Finding {
  const found = `${formatBytes(total)}, ${formatBytes(free)} free`;
  return total < 2 * GIB
    ? warn("memory", found, "Use a small model and batch, or a machine with 4 GB or more.")
    : ok("memory", found);
}

async function disk(folder: string): Promise<Finding> {
  const free = await freeBytes(folder);
  const found = `${formatBytes(free)} free`;
  if (free < GIB / 4) return fail("disk", new ConsiliumError("disk.full"));
  return free < 5 * GIB ? warn("disk", found, "Make room before reading many images.") : ok("disk", found);
}

async function keys(home: Home): Promise<readonly Finding[]> {
  const { site } = await home.readConfig();
  const print = fingerprint((await home.identity()).public);
  await home.hmacSecret();
  const modes = await Promise.all(
    ["identity.json", "hmac.json"].map((name) => fileMode(path.join(home.folder, name))),
  );
  const open = modes.some((mode) => mode !== null && (mode & 0o077) !== 0);
  return [
    ok("site", `${site}, fingerprint ${print}`),
    open
      ? warn("secret keys", "others on this machine can read them", "chmod 600 identity.json hmac.json")
      : ok("secret keys", "readable by their owner alone"),
  ];
}

async function caches(home: Home): Promise<readonly Finding[]> {
  const names = await listFolder(path.dirname(home.cacheFolder("train")));
  if (names.length === 0) return [warn("images", "no cache", "Run consilium-site ingest FOLDER.")];
  return Promise.all(
    names.map(async (name) => {
      const what = `cache ${name}`;
      try {
        return await describeCache(what, home.cacheFolder(name));
      } catch (error) {
        return fail(what, error);
      }
    }),
  );
}

/** @throws cache.missing, cache.corrupt */
async function describeCache(what: string, folder: string): Promise<Finding> {
  const { openImageCache } = await import("./dataset/cache.ts");
  const cache = await openImageCache(folder);
  try {
    const sizes = await Promise.all(
      (await listFolder(folder)).map((file) => fileBytes(path.join(folder, file))),
    );
    const bytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
    return ok(what, `${cache.records.length} images of ${describeShape(cache)}, ${formatBytes(bytes)}`);
  } finally {
    cache.close();
  }
}

async function receipts(home: Home): Promise<readonly Finding[]> {
  const lines = await receiptsFile(home.receiptsFile).list();
  return [ok("receipts", `${lines.length} lines, unaltered`)];
}

function federation({ plan, enrolment }: JoinedSite): readonly Finding[] {
  const plain = new URL(enrolment.coordinatorUrl);
  const local = /^(localhost|127\.|\[::1\])/.test(plain.hostname);
  return [
    ok("federation", `${plan.federation}, plan ${planHash(plan).slice(0, 16)}`),
    ok("pinned key", `${fingerprint(enrolment.coordinator)}  (compare by telephone)`),
    ...(plain.protocol === "http:" && !local
      ? [
          warn(
            "address",
            "http, without TLS",
            "Updates are encrypted all the same, but put the coordinator behind https.",
          ),
        ]
      : []),
  ];
}

/** How far this site's images were from the others', when it last looked. */
async function comparedImages(home: Home): Promise<readonly Finding[]> {
  const seen = await cohortFile(home.federationFolder).seen();
  if (seen === null) return [];
  const comparison = comparisonOf(seen.distances);
  const found = `${verdictOf(comparison)}, ${seen.sites} sites`;
  return [
    comparison.unlike.length === 0
      ? ok("compared", found)
      : warn("compared", found, "Look at consilium-site preview: is it what you meant to train on?"),
  ];
}

/** What stands between this site and the coordinator, as far as it is known here. */
async function wayOut(
  home: Home,
  { enrolment }: JoinedSite,
  options: NetworkCliOptions,
  { env }: CliPorts,
): Promise<readonly Finding[]> {
  const { proxyFor } = await import("./federation/network.ts");
  const proxy = proxyFor(new URL(enrolment.coordinatorUrl), env);
  const files = Object.entries(tlsPaths(options, (await home.readConfig()).tls));
  return [
    // Its user and password stay out.
    ok("proxy", proxy === null ? "none" : `${proxy.protocol}//${proxy.host}`),
    ...files.map(([name, file]) => ok(`--${name}`, file)),
  ];
}

async function coordinator(
  home: Home,
  { site, plan, enrolment }: JoinedSite,
  options: NetworkCliOptions,
  ports: CliPorts,
): Promise<readonly Finding[]> {
  const identity = await home.identity();
  const membership = { federation: plan.federation, site, identity, coordinator: enrolment.coordinator };
  const network = await siteNetwork(home, enrolment.coordinatorUrl, options, ports);
  const http = httpClient(enrolment.coordinatorUrl, network.fetch);
  const receipts = receiptsFile(home.receiptsFile);
  try {
    await openSession({ ...ports, http, receipts }, membership, ports.signal);
  } finally {
    await network.close();
  }
  return [ok("coordinator", "answers, and proved the pinned key")];
}
