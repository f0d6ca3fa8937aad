/**
 * `npm run bench -- upload`: an update over loopback to a coordinator of its own process, each chunk hashed and fsynced
 * before it is acknowledged, beside what the same machine does at the same time with the parts alone: the chunks over a
 * plain socket, and the chunks written and fsynced.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { createIdentity } from "@consilium/shared/crypto/identity";
import type { Sha256, SiteId } from "@consilium/shared/ids";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { PROTOCOL_VERSION } from "@consilium/shared/protocol/version";
import { parseToken } from "@consilium/shared/protocol/token";
import { enrol } from "../../site-agent/src/federation/enrol.ts";
import { httpClient } from "../../site-agent/src/federation/http.ts";
import { receiptsFile } from "../../site-agent/src/federation/receipts.ts";
import { openSession } from "../../site-agent/src/federation/session.ts";
import { connectLink, type Link } from "../../site-agent/src/federation/transport.ts";
import { uploadObject, UPLOAD_WINDOW } from "../../site-agent/src/federation/upload.ts";
import { atLeast, atMost, type Benchmark } from "./bench.ts";
import { median } from "./statistics.ts";

const CHUNK_BYTES = 4 * 1024 * 1024;
const TOTAL_BYTES = 256 * 1024 * 1024;
const MB = 1e6;
const root = path.resolve(import.meta.dirname, "../..");
const SITE = "bench" as SiteId;
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

export const upload: Benchmark = {
  name: "upload",
  summary: "an update over loopback, hashed and fsynced before it is acknowledged",
  help: "--repeats N               takes the median of N (3)",
  run: async ({ repeats }, log) => {
    const bytes = randomBytes(TOTAL_BYTES);
    const folder = await mkdtemp(path.join(tmpdir(), "consilium-upload-"));
    const rates: Record<"upload" | "socket" | "disk", number[]> = { upload: [], socket: [], disk: [] };
    const coordinator = await startCoordinator(folder);
    try {
      const link = await coordinator.join();
      const idleMB = (await peakBytes(coordinator.pid)) / MB;
      // In turns, so that all three meet the machine in the same state.
      for (let i = 0; i < (repeats ?? 3); i++) {
        log(`turn ${i + 1}`);
        rates.disk.push(await rateOf(() => writeChunks(path.join(folder, `disk-${i}`), bytes)));
        rates.socket.push(await rateOf(() => sendPlain(bytes)));
        rates.upload.push(await rateOf(() => send(link, coordinator.genesis, bytes)));
      }
      link.close();
      const peakMB = (await peakBytes(coordinator.pid)) / MB;
      const [own, socket, disk] = [median(rates.upload), median(rates.socket), median(rates.disk)];
      const share = own / Math.min(socket, disk);
      return {
        results: [
          { label: "upload, hashed and fsynced", value: own, unit: "MB/s" },
          { label: "plain socket, same chunks", value: socket, unit: "MB/s" },
          { label: "disk, same chunks, fsynced each", value: disk, unit: "MB/s" },
          { label: "coordinator's memory before the first", value: idleMB, unit: "MB" },
          { label: "coordinator's memory at its peak", value: peakMB, unit: "MB" },
        ],
        targets: [
          atLeast("share of the lower of socket and disk", share, 0.85),
          atMost("coordinator's memory", peakMB, 200, " MB"),
        ],
        notes: [
          `${TOTAL_BYTES / 2 ** 20} MiB in chunks of ${CHUNK_BYTES / 2 ** 20} MiB, ${UPLOAD_WINDOW} under way`,
        ],
      };
    } finally {
      await coordinator.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function rateOf(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return TOTAL_BYTES / MB / ((performance.now() - startedMs) / 1000);
}

const chunksOf = (bytes: Uint8Array): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / CHUNK_BYTES) }, (_, i) =>
    bytes.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES),
  );

async function writeChunks(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, "w");
  for (const chunk of chunksOf(bytes)) {
    await handle.write(chunk);
    await handle.sync();
  }
  await handle.close();
  await rm(file);
}

/** Each chunk is answered by a byte, with as many under way as an upload has. */
async function sendPlain(bytes: Uint8Array): Promise<void> {
  const script = `
    require("node:net").createServer((socket) => {
      let left = ${CHUNK_BYTES};
      socket.on("data", (data) => {
        for (left -= data.length; left <= 0; left += ${CHUNK_BYTES}) socket.write("k");
      });
    }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });`;
  const server = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: server.stdout }), "line")) as [string];
  const socket = connect(Number(line), "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  const chunks = chunksOf(bytes);
  let acknowledged = 0;
  let sent = 0;
  const sendNext = (): void => {
    const chunk = chunks[sent];
    if (chunk === undefined) return;
    sent += 1;
    socket.write(chunk);
  };
  await new Promise<void>((resolve) => {
    socket.on("data", (data) => {
      for (let i = 0; i < data.length; i++) {
        acknowledged += 1;
        sendNext();
      }
      if (acknowledged === chunks.length) resolve();
    });
    for (let i = 0; i < UPLOAD_WINDOW; i++) sendNext();
  });
  socket.destroy();
  server.kill();
}

/** Up to the last chunk's acknowledgement: what follows is the coordinator's own work. */
async function send(link: Link, genesis: Sha256, bytes: Uint8Array): Promise<void> {
  // Another object each time, or the chunks would be there already.
  const sealedSha256 = createHash("sha256").update(randomBytes(32)).digest("hex") as Sha256;
  await uploadObject({
    link: {
      beginUpload: (message) => link.beginUpload(message),
      sendChunk: (message, chunk) => link.sendChunk(message, chunk),
      commitUpload: () => Promise.resolve("accepted"),
    },
    object: { kind: "genesis", sha256: genesis, sealedSha256, sealedBytes: bytes.length },
    source: {
      sizeBytes: bytes.length,
      read: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
      close: () => Promise.resolve(),
    },
    chunkBytes: CHUNK_BYTES,
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
}

async function startCoordinator(folder: string) {
  const home = path.join(folder, "home");
  const planFile = path.join(folder, "plan.json");
  const plan = parsePlan({ federation: "bench", title: "Bench", rounds: 1, minSites: 3 });
  await writeFile(planFile, JSON.stringify(plan));
  const bin = path.join(root, "coordinator/bin/consilium-coordinator.mjs");
  // As it is installed: with the settings of Node.js that its first line names.
  const child: ChildProcess = spawn(
    bin,
    ["serve", "--home", home, "--port", "0", "--plan", planFile, "--json"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  if (child.stdout === null || child.pid === undefined) throw new Error("the coordinator does not start");
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const { url } = JSON.parse(line) as { url: string };
  const genesis = createHash("sha256").update("genesis").digest("hex") as Sha256;
  const join = async (): Promise<Link> => {
    const operator = (await readFile(path.join(home, "operator.token"), "utf8")).trim();
    const invited = await fetch(`${url}/api/federations/bench/invitations`, {
      method: "POST",
      headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" },
      body: JSON.stringify({ site: SITE }),
    });
    const { token } = (await invited.json()) as { token: string };
    const identity = createIdentity(random);
    const coordinatorUrl = `${url}/`;
    const signal = new AbortController().signal;
    const request = { site: SITE, identity, coordinatorUrl, token: parseToken(token), fetch, signal };
    const { coordinator } = await enrol(request).send();
    const membership = { federation: plan.federation, site: SITE, identity, coordinator };
    const receipts = receiptsFile(path.join(home, "receipts.jsonl"));
    const http = httpClient(coordinatorUrl, fetch);
    const session = await openSession({ http, random, receipts, nowMs: Date.now }, membership);
    const link = await connectLink(coordinatorUrl, session, () => undefined, signal);
    const hello = {
      protocol: PROTOCOL_VERSION,
      software: "bench",
      planHash: planHash(plan),
      genesis,
      examples: null,
    };
    await link.hello(hello);
    return link;
  };
  const stop = async (): Promise<void> => {
    const closed = once(child, "close");
    child.kill("SIGKILL");
    await closed;
  };
  return { pid: child.pid, genesis, join, stop };
}

/** Resident memory at its highest (Linux), or NaN. */
async function peakBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(text)?.[1] ?? NaN);
}
