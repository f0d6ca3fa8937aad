/** What a sender cannot make the site do: hold more in memory than it should, or talk to more peers at once. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  listen,
  type Listener,
  type ListenOptions,
} from "../../site-agent/src/ingest/sources/dimse/acceptor.ts";
import type { StoreOutcome } from "../../site-agent/src/ingest/sources/dimse/store-peer.ts";
import { allowSenders } from "../../site-agent/src/ingest/sources/peers.ts";
import { Spool } from "../../site-agent/src/ingest/sources/spool.ts";
import { missingPacsTools } from "../support/orthanc.ts";
import { makePacsFiles, type PacsFile } from "../support/pacs-files.ts";
import { storescu } from "../support/push-and-kill.ts";

const run = promisify(execFile);
const missing = missingPacsTools();
if (missing !== null) process.stderr.write(`skipped: ${missing} is not here\n`);

let root: string;
let small: readonly PacsFile[];
let large: readonly PacsFile[];
let listener: Listener | null = null;
const outcomes: StoreOutcome[] = [];
const refusals: string[] = [];

beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), "consilium-limits-"));
  small = await makePacsFiles(path.join(root, "small"), 2);
  large = await makePacsFiles(path.join(root, "large"), 1, { sidePx: 512 });
});
afterEach(async () => {
  await listener?.close();
  listener = null;
  outcomes.length = 0;
  refusals.length = 0;
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function start(limits: Partial<ListenOptions> = {}): Promise<{ port: number; folder: string }> {
  const folder = await mkdtemp(path.join(root, "spool-"));
  listener = await listen({
    spool: await Spool.open(folder, { maxBytes: 2 ** 30, minFreeBytes: 0 }),
    secret: new Uint8Array(32),
    host: "127.0.0.1",
    port: 0,
    aet: "CONSILIUM",
    allowed: await allowSenders("--allow", ["STORESCU@127.0.0.1"]),
    tls: null,
    onStored: (outcome) => void outcomes.push(outcome),
    onRefused: (why) => void refusals.push(why),
    ...limits,
  });
  return { port: listener.port, folder };
}

const echo = async (port: number): Promise<string> => {
  const args = ["-v", "-aet", "STORESCU", "-aec", "CONSILIUM", "127.0.0.1", String(port)];
  const { stdout, stderr } = await run("echoscu", args).catch((error: unknown) => error as Output);
  return stdout + stderr;
};
interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** Sends bytes as no conforming peer does. @returns what came back until the connection ended */
async function talk(port: number, ...messages: readonly Uint8Array[]): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  const received: Buffer[] = [];
  socket.on("data", (chunk) => void received.push(chunk)).on("error", () => undefined);
  for (const message of messages) socket.write(message);
  await once(socket, "close");
  return Buffer.concat(received);
}

describe.skipIf(missing !== null)("a sender", () => {
  it("whose object is longer than the site takes is told so, and its other objects are taken", async () => {
    const { port, folder } = await start({ maxObjectBytes: 100_000 });
    const [first, second] = small;
    const paths = [first?.path ?? "", large[0]?.path ?? "", second?.path ?? ""];
    const { acknowledged } = await storescu(port, paths, ["-nh"]);
    expect([...acknowledged]).toEqual([paths[0], paths[2]]);
    expect(outcomes).toEqual(["kept", "too-long", "kept"]);
    expect(await readdir(folder)).toHaveLength(2);
  });

  it("that opens more associations than the site serves is asked to come later", async () => {
    const { port } = await start({ maxAssociations: 1 });
    expect(await echo(port)).toContain("Received Echo Response (Success)");
    const idle = connect(port, "127.0.0.1");
    await once(idle, "connect");
    await expect.poll(() => echo(port), { timeout: 10_000 }).toContain("Local Limit Exceeded");
    expect(refusals).toContain("too-many");
    idle.destroy();
    await expect.poll(() => echo(port), { timeout: 10_000 }).toContain("Received Echo Response (Success)");
  });
});

it("a sender of an endless PDU is cut off with A-ABORT at its header", async () => {
  const { port } = await start();
  for (const type of [1, 4]) {
    const header = Buffer.from([type, 0, 0x7f, 0xff, 0xff, 0xff]);
    expect((await talk(port, header)).subarray(0, 1)).toEqual(Buffer.from([7]));
  }
  expect(refusals).toEqual(["too-long", "too-long"]);
});
