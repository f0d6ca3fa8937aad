/** Images from a real PACS: pushed by dcmtk, pulled from Orthanc; killed, refused, encrypted. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runInProcess } from "../../site-agent/src/cli/testing/run-in-process.ts";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { readIntake } from "../../site-agent/src/dataset/intake.ts";
import { webClient, type WebClientOptions } from "../../site-agent/src/ingest/sources/dicomweb/web-client.ts";
import type { StoreOutcome } from "../../site-agent/src/ingest/sources/dimse/store-peer.ts";
import { allowSenders } from "../../site-agent/src/ingest/sources/peers.ts";
import { Spool } from "../../site-agent/src/ingest/sources/spool.ts";
import { freePort, missingPacsTools, startOrthanc, type Orthanc } from "../support/orthanc.ts";
import { makePacsFiles, type PacsFile } from "../support/pacs-files.ts";
import { pushAndKill, storescu, type PushOutcome } from "../support/push-and-kill.ts";

const run = promisify(execFile);
const missing = missingPacsTools();
if (missing !== null) process.stderr.write(`skipped: ${missing} is not here\n`);
const hasOpenssl = spawnSync("openssl", ["version"]).error === undefined;
if (!hasOpenssl)
  process.stderr.write("skipped: openssl, which makes the certificates of the TLS tests, is not here\n");

const FILES = 60;
const USED = 54;
let root: string;
let files: readonly PacsFile[];
/** Everything that any command printed. */
let printed = "";
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "consilium-pacs-"));
  files = await makePacsFiles(path.join(root, "CANARY-in"), FILES);
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
}

/** A command in this process, up to its end or until `stop` fires. */
async function site(args: readonly string[], stop = new AbortController()): Promise<Outcome> {
  const { code, stdout, output } = await runInProcess([...args, "--json"], {
    userHome: root,
    sleep: () => Promise.resolve(),
    signal: stop.signal,
  });
  printed += output;
  const lines = stdout
    .trimEnd()
    .split("\n")
    .filter((line) => line.startsWith("{"));
  return { code, lines: lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>) };
}

async function newHome(name: string): Promise<string> {
  const home = path.join(root, name);
  await site(["init", "--site", "st-mary", "--home", home]);
  return home;
}

async function cachedImages(home: string): Promise<number> {
  const cache = await openImageCache(path.join(home, "caches", "train"));
  cache.close();
  return cache.records.length;
}

/** Names and contents of all that a site holds. */
async function expectNoCanary(home: string): Promise<void> {
  for (const entry of await readdir(home, { recursive: true, withFileTypes: true })) {
    expect(entry.name).not.toMatch(/canary/i);
    if (entry.isFile())
      expect((await readFile(path.join(entry.parentPath, entry.name))).includes("CANARY")).toBe(false);
  }
}

describe.skipIf(missing !== null)("pushed images", () => {
  it("are all cached or set aside, once, though the agent is killed in the middle", async () => {
    const home = await newHome("killed");
    const report = await pushAndKill(home, await freePort(), files, 20);
    printed += report.output;
    expect(report.acknowledgedBeforeKill).toBeGreaterThanOrEqual(20);
    expect(report.sentAgain).toBeGreaterThan(0);
    expect(report).toMatchObject({
      cached: USED,
      quarantined: FILES - USED,
      lost: 0,
      twice: 0,
      leftInSpool: 0,
    });
    const [counts] = Object.values((await readIntake(path.join(home, "caches", "train"))).folders);
    expect(counts).toMatchObject({
      files: FILES,
      used: USED,
      quarantined: { "dicom.burned-in": FILES - USED },
    });
    await expectNoCanary(home);
  });

  it("are refused while the spool is full, and taken once it is not", async () => {
    const { listen } = await import("../../site-agent/src/ingest/sources/dimse/acceptor.ts");
    const folder = path.join(root, "small-spool");
    const spool = await Spool.open(folder, { maxBytes: 1, minFreeBytes: 0 });
    const outcomes: StoreOutcome[] = [];
    const listener = await listen({
      spool,
      secret: new Uint8Array(32),
      host: "127.0.0.1",
      port: 0,
      aet: "CONSILIUM",
      allowed: await allowSenders("--allow", ["STORESCU@127.0.0.1"]),
      tls: null,
      onStored: (outcome) => void outcomes.push(outcome),
      onRefused: () => undefined,
    });
    const push = (n: number): Promise<PushOutcome> => storescu(listener.port, [files[n]?.path ?? ""]);
    expect((await push(0)).acknowledged.size).toBe(1);
    expect((await push(1)).acknowledged.size).toBe(0);
    await spool.remove(spool.next(1));
    expect((await push(1)).acknowledged.size).toBe(1);
    expect(outcomes).toEqual(["kept", "full", "kept"]);
    await listener.close();
    // It holds whole objects for as long as it takes to read them; names tell nothing.
    for (const name of await readdir(folder)) expect(name).toMatch(/^[0-9a-f]{32}-[0-9a-f]{16}\.dcm$/);
  });

  it.skipIf(!hasOpenssl)(
    "come from those alone who are allowed to send, over TLS with a certificate of the hospital's",
    async () => {
      const home = await newHome("tls");
      const [ca, cert, key] = await certificates();
      const port = await freePort();
      const stop = new AbortController();
      const listening = site(
        [
          "listen",
          "--home",
          home,
          "--size",
          "32",
          "--port",
          String(port),
          "--allow",
          "STORESCU@127.0.0.1",
        ].concat(["--cert", cert, "--key", key, "--ca", ca]),
        stop,
      );
      const tls = ["+tls", key, cert, "+cf", ca];
      const echo = (aet: string, aec: string, ...options: string[]): Promise<boolean> =>
        run("echoscu", [
          ...options,
          "-to",
          "2",
          "-ta",
          "2",
          "-aet",
          aet,
          "-aec",
          aec,
          "127.0.0.1",
          String(port),
        ]).then(
          () => true,
          () => false,
        );
      await expect.poll(() => echo("STORESCU", "CONSILIUM", ...tls), { timeout: 20_000 }).toBe(true);
      expect(await echo("OTHER", "CONSILIUM", ...tls)).toBe(false);
      expect(await echo("STORESCU", "OTHER", ...tls)).toBe(false);
      expect(await echo("STORESCU", "CONSILIUM", "+tla", "-ic")).toBe(false);
      expect(await echo("STORESCU", "CONSILIUM")).toBe(false);
      const few = files.slice(0, 5).map((file) => file.path);
      const { acknowledged } = await storescu(port, few, tls);
      expect(acknowledged.size).toBe(few.length);
      await expect.poll(() => cachedImages(home), { timeout: 20_000 }).toBe(few.length);
      stop.abort();
      await listening;
      await expectNoCanary(home);
    },
  );
});

/** An authority and a certificate of it for 127.0.0.1. */
async function certificates(): Promise<[ca: string, cert: string, key: string]> {
  const at = (name: string): string => path.join(root, name);
  const openssl = (...args: string[]) => run("openssl", args);
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await openssl(
    "req",
    "-x509",
    ...fresh,
    "-subj",
    "/CN=authority",
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.pem"),
  );
  await openssl(
    ...[
      "req",
      "-x509",
      ...fresh,
      "-subj",
      "/CN=localhost",
      "-keyout",
      at("site.key"),
      "-out",
      at("site.pem"),
    ],
    ...["-addext", "subjectAltName=IP:127.0.0.1", "-CA", at("ca.pem"), "-CAkey", at("ca.key")],
  );
  return [at("ca.pem"), at("site.pem"), at("site.key")];
}

describe.skipIf(missing !== null)("a real PACS", () => {
  let orthanc: Orthanc;
  let port: number;
  beforeAll(async () => {
    port = await freePort();
    orthanc = await startOrthanc(path.join(root, "orthanc"), [{ aet: "CONSILIUM", port }]);
    await orthanc.store(files.map((file) => file.path));
  });
  afterAll(() => orthanc.stop());

  const dimse = (): string[] => [
    "pull",
    "dimse",
    "--peer",
    `ORTHANC@127.0.0.1:${orthanc.dicomPort}`,
    "--size",
    "32",
  ];
  const pulled = { files: FILES, used: USED, quarantined: { "dicom.burned-in": FILES - USED } };

  it.each([
    ["C-GET", () => [...dimse(), "--modality", "CR,DX"], 4],
    ["C-MOVE", () => [...dimse(), "--method", "move", "--port", String(port), "--level", "series"], 8],
    [
      "DICOMweb",
      () => ["pull", "dicomweb", "--url", orthanc.webUrl, "--modality", "CR,DX", "--size", "32"],
      4,
    ],
  ])("sends everything by %s, and only once", async (name, command, units) => {
    const home = await newHome(name);
    const first = await site([...command(), "--home", home]);
    expect(first.code).toBe(0);
    expect(first.lines.at(-1)).toMatchObject({
      event: "result",
      unitsTotal: units,
      unitsFailed: 0,
      images: pulled,
    });
    expect(await cachedImages(home)).toBe(USED);
    const again = await site([...command(), "--home", home]);
    expect(again.lines.at(-1)).toMatchObject({ received: 0, unitsSkipped: units, images: pulled });
    await expectNoCanary(home);
  });

  it("is asked by date, and by other attributes", async () => {
    const home = await newHome("dates");
    const range = ["--from", "2024-01-11", "--to", "20240112", "--home", home];
    const byDate = await site([...dimse(), ...range]);
    expect(byDate.lines.at(-1)).toMatchObject({ unitsTotal: 2, received: FILES / 2 });
    const web = [
      "pull",
      "dicomweb",
      "--url",
      orthanc.webUrl,
      "--size",
      "32",
      "--home",
      home,
      "--cache",
      "web",
    ];
    const byId = await site([...web, "--query", "PatientID=CANARY3"]);
    expect(byId.lines.at(-1)).toMatchObject({ unitsTotal: 1, received: FILES / 4 });
    await expectNoCanary(home);
  });

  it.skipIf(!hasOpenssl)("speaks TLS, and is not trusted without its authority", async () => {
    const [ca, cert, key] = await certificates();
    const secure = await startOrthanc(path.join(root, "secure"), [{ aet: "CONSILIUM", port }], {
      DicomTlsEnabled: true,
      DicomTlsCertificate: cert,
      DicomTlsPrivateKey: key,
      DicomTlsTrustedCertificates: ca,
    });
    try {
      await secure.store(files.slice(0, 4).map((file) => file.path));
      const home = await newHome("secure-home");
      const pull = [
        "pull",
        "dimse",
        "--peer",
        `ORTHANC@127.0.0.1:${secure.dicomPort}`,
        "--size",
        "32",
        "--tls",
      ];
      const ours = ["--cert", cert, "--key", key, "--home", home];
      const trusting = await site([...pull, "--ca", ca, ...ours]);
      expect(trusting.lines.at(-1)).toMatchObject({ event: "result", received: 4, unitsFailed: 0 });
      const doubting = await site([...pull, ...ours]);
      expect(doubting.lines.at(-1)).toMatchObject({ event: "error", code: "pacs.untrusted" });
    } finally {
      await secure.stop();
    }
  });

  it.skipIf(!hasOpenssl)("speaks HTTPS with a certificate of the hospital's", async () => {
    const [ca, cert, key] = await Promise.all((await certificates()).map((file) => readFile(file)));
    const server = createServer({ cert, key }, (_request, response) => void response.end("[]")).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const ask = (tls: WebClientOptions["tls"]) =>
      webClient({ url, headers: {}, tls }).get(
        "studies",
        new URLSearchParams(),
        "*/*",
        new AbortController().signal,
      );
    expect((await ask(ca === undefined ? {} : { ca }))?.statusCode).toBe(200);
    await expect(ask({})).rejects.toMatchObject({ code: "pacs.untrusted" });
    server.closeAllConnections();
    server.close();
  });

  it("that does not know us, or is not there, ends in a code", async () => {
    const home = await newHome("refused");
    const unknown = await site([...dimse(), "--aet", "STRANGER", "--home", home]);
    expect(unknown).toMatchObject({ code: 1, lines: [expect.objectContaining({ code: "pacs.refused" })] });
    expect(unknown.lines[0]?.["message"]).toMatch(/calling AE title/);
    const nobody = ["pull", "dimse", "--peer", `ORTHANC@127.0.0.1:${await freePort()}`, "--size", "32"];
    const absent = await site([...nobody, "--home", home]);
    expect(absent.lines.slice(0, -1)).toEqual(
      [2, 3, 4].map((attempt) => ({ event: "retrying", code: "pacs.unreachable", attempt, of: 4 })),
    );
    expect(absent.lines.at(-1)).toMatchObject({ event: "error", code: "pacs.unreachable" });
  });

  it("that refuses the called AE title, or to be asked, says so at once", async () => {
    const home = await newHome("forbidden");
    // Asked, it aborts and leaves the connection open for half a minute.
    const strict = await startOrthanc(path.join(root, "strict"), [], {
      DicomCheckCalledAet: true,
      DicomModalities: { us: { AET: "CONSILIUM", Host: "127.0.0.1", Port: port, AllowFind: false } },
    });
    try {
      for (const [called, reason] of [
        ["OTHER", /called AE title/],
        ["ORTHANC", /without an answer to C-FIND/],
      ] as const) {
        const peer = `${called}@127.0.0.1:${strict.dicomPort}`;
        const { lines } = await site(["pull", "dimse", "--peer", peer, "--size", "32", "--home", home]);
        expect(lines).toMatchObject([{ event: "error", code: "pacs.refused" }]);
        expect(lines[0]?.["message"]).toMatch(reason);
      }
    } finally {
      await strict.stop();
    }
  });
});

it("nothing that was printed names a patient", () => {
  expect(printed).not.toMatch(/canary/i);
});
