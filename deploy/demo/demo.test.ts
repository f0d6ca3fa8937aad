/** The real demo as a process: how it starts, how it fails, and that it leaves nobody behind. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("./main.mjs", import.meta.url));
const SLOW_MS = 180_000;

let out = "";
let started: Run | null = null;
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), "consilium-demo-"));
});
afterEach(async () => {
  // After a failed test it may still run; SIGINT lets it end its children.
  started?.child.kill("SIGINT");
  await started?.ended;
  started = null;
  await rm(out, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly text: string }>;
  /** Resolves when the text has been printed; rejects if the demo ends first. */
  says: (text: string) => Promise<void>;
}

function demo(...args: string[]): Run {
  const child = spawn(process.execPath, [MAIN, "--out", out, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  const listeners = new Set<() => void>();
  const hear = (data: Buffer): void => {
    printed += data.toString();
    for (const listen of listeners) listen();
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const ended = new Promise<{ code: number | null; text: string }>((resolve) => {
    child.on("close", (code) => {
      resolve({ code, text: printed });
    });
  });
  started = {
    child,
    ended,
    says: (text) =>
      new Promise((resolve, reject) => {
        const listen = (): void => {
          if (printed.includes(text)) resolve();
        };
        listeners.add(listen);
        listen();
        void ended.then(() => {
          reject(new Error(`the demo ended before it said "${text}":\n${printed}`));
        });
      }),
  };
  return started;
}

/** Command lines of running processes that belong to this test's demo. */
function processes(): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(out) && line.includes("consilium-"));
}

const canListProcesses = spawnSync("ps", ["-eo", "args"]).status === 0;

describe("the demo", () => {
  it.skipIf(!canListProcesses)(
    "leaves no process behind after Ctrl-C",
    async () => {
      // As many rounds as no machine is through with before the signal comes.
      const run = demo("--quick", "--images", "16", "--rounds", "200");
      await run.says("Training together");
      // The stage is named before its children are started.
      await expect.poll(() => processes().length, { timeout: 30_000 }).toBeGreaterThanOrEqual(3);
      run.child.kill("SIGINT");
      const { code, text } = await run.ended;
      expect(code, text).toBe(130);
      expect(text).toContain("no process is left");
      expect(text).not.toMatch(/^\s+at /m);
      expect(processes()).toEqual([]);
    },
    SLOW_MS,
  );

  it.skipIf(!canListProcesses)(
    "says what a child said when it fails, and leaves no process behind",
    async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => server.once("listening", resolve));
      const { port } = server.address() as AddressInfo;
      const { code, text } = await demo("--quick", "--images", "16", "--port", String(port)).ended;
      server.close();
      expect(code).toBe(1);
      expect(text).toContain("coordinator: ");
      expect(text).toContain("code: port.in-use");
      expect(text).toMatch(/next: \S/);
      expect(text).toMatch(/logs: /);
      expect(text).not.toMatch(/^\s+at /m);
      expect(processes()).toEqual([]);
    },
    SLOW_MS,
  );

  it("names a folder that is not there, without its path", async () => {
    const { code, text } = await demo("--data", join(out, "nowhere")).ended;
    expect(code).toBe(1);
    expect(text).toContain("code: ingest.folder-missing");
    expect(text).not.toContain("nowhere");
  });

  it("refuses options that make no sense", async () => {
    const { code, text } = await demo("--rounds", "0").ended;
    expect(code).toBe(1);
    expect(text).toContain("--rounds");
    expect(text).not.toMatch(/^\s+at /m);
  });
});
