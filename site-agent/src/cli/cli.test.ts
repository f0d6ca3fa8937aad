/** The command line as a person meets it; where the process matters, in a process of its own. */
import { exec, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { createIdentity } from "@consilium/shared/crypto/identity";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import type { FederationId, SiteId } from "@consilium/shared/ids";
import { formatToken } from "@consilium/shared/protocol/token";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeDicom } from "../ingest/testing/dicom-fixture.ts";
import { syntheticImage } from "../ingest/testing/synthetic-image.ts";
import { runInProcess } from "./testing/run-in-process.ts";

const BIN = path.resolve(import.meta.dirname, "../../bin/consilium-site.mjs");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function spawned(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === "number" ? error.code : 0, stdout, stderr });
    });
  });
}

/** The same without the second that a process takes to start. */
const site = (...args: readonly string[]): Promise<Outcome> =>
  runInProcess(args, { userHome: folder, sleep: () => Promise.resolve() });

let folder: string;
let home: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-cli-"));
  home = path.join(folder, "CANARY-home");
  const { code, stdout, stderr } = await spawned("init", "--site", "st-mary", "--home", home);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("home of st-mary");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Three lines, a code, a next step; no stack, and none of the paths that were given. */
function expectThreeLines({ code, stdout, stderr }: Outcome, errorCode: string): void {
  expect(code).toBe(1);
  expect(stdout).toBe("");
  const lines = stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[1]).toBe(`  code: ${errorCode}`);
  expect(lines[2]).toMatch(/^ {2}next: \S/);
  expect(stderr).not.toContain("CANARY");
  expect(stderr).not.toMatch(/^\s+at /m);
}

const token = (secret: number, invited = "st-mary"): string =>
  formatToken({
    federation: "lungs" as FederationId,
    site: invited as SiteId,
    coordinator: createIdentity((length) => new Uint8Array(length).fill(5)).public,
    secret: toBase64Url(new Uint8Array(32).fill(secret)),
  });

describe("help", () => {
  it("teaches the first steps", async () => {
    const { code, stdout } = await spawned("--help");
    expect(code).toBe(0);
    for (const command of ["init", "join", "ingest", "run", "finetune", "doctor"]) {
      expect(stdout).toContain(`consilium-site ${command}`);
    }
  });

  it("of each command has examples", async () => {
    const commands = [
      "init",
      "join",
      "ingest",
      "listen",
      "pull",
      "pull dimse",
      "pull dicomweb",
      "run",
      "pretrain",
      "finetune",
      "predict",
      "reconstruct",
      "export",
      "import",
      "policy",
      "plan",
      "plan approve",
      "plan refuse",
      "roster",
      "roster approve",
      "receipts",
      "receipts summary",
      "receipts verify",
      "audit",
      "audit verify",
      "doctor",
    ];
    for (const command of commands) {
      const { code, stdout } = await site(...command.split(" "), "--help");
      expect(code).toBe(0);
      expect(stdout).toContain(`Examples:\n  consilium-site ${command}`);
    }
  });
});

describe("a mistake ends in a code and a next step", () => {
  it("a home that is there", async () => {
    expectThreeLines(await site("init", "--site", "st-mary", "--home", home), "home.exists");
  });

  it("an option of another task", async () => {
    const result = await site("finetune", "--task", "localization", "--negative", "normal", "--home", home);
    expectThreeLines(result, "config.invalid");
    expect(result.stderr).toContain("--negative: not for localization");
  });

  it("a home that is not there", async () => {
    const nowhere = path.join(folder, "CANARY-nowhere");
    expectThreeLines(await site("run", "--home", nowhere), "home.missing");
    expect(await readdir(folder)).toEqual(["CANARY-home"]);
  });

  it("half a token", async () => {
    const url = "http://127.0.0.1:1";
    expectThreeLines(
      await spawned("join", "--coordinator", url, "--token", "CANARY", "--home", home),
      "enrolment.token-unknown",
    );
  });

  it("a token given in no way, or in a file that is not there", async () => {
    const joining = ["join", "--coordinator", "http://127.0.0.1:1", "--home", home];
    expectThreeLines(await site(...joining), "config.invalid");
    const absent = await site(...joining, "--token-file", path.join(folder, "CANARY-none"));
    expectThreeLines(absent, "config.invalid");
    expect(absent.stderr).toContain("--token-file: the file cannot be read");
  });

  it("another site's token, from a file and from standard input", async () => {
    const file = path.join(folder, "CANARY-token");
    await writeFile(file, `${token(1, "st-john")}\n`);
    const joining = `"${process.execPath}" "${BIN}" join --coordinator http://127.0.0.1:1 --home "${home}"`;
    for (const way of [
      `--token-file "${file}"`,
      `--token-file - < "${file}"`,
      `--token-file - < /dev/null`,
    ]) {
      const { stderr } = await promisify(exec)(`${joining} ${way} || true`);
      expect(stderr).toContain(way.endsWith("null") ? "holds no token" : "invites the site st-john");
    }
  });

  it("another site's token", async () => {
    const args = ["join", "--coordinator", "http://127.0.0.1:1", "--token", token(1, "st-john")];
    expectThreeLines(await site(...args, "--home", home), "config.invalid");
  });

  it("a coordinator that is not there", async () => {
    const args = ["join", "--coordinator", "http://127.0.0.1:1", "--token", token(1)];
    expectThreeLines(await site(...args, "--home", home), "coordinator.unreachable");
  });

  it("a folder that is not there", async () => {
    const args = ["ingest", path.join(folder, "CANARY-images"), "--size", "32", "--home", home];
    expectThreeLines(await spawned(...args), "ingest.folder-missing");
  });

  it("no federation yet", async () => {
    expectThreeLines(await site("run", "--home", home), "home.not-joined");
  });

  it("an option that does not exist, or a number that is none", async () => {
    expectThreeLines(await site("run", "--turbo", "--home", home), "config.invalid");
    expectThreeLines(await site("run", "--threads", "many", "--home", home), "config.invalid");
    expectThreeLines(await site("run", "--device", "abacus", "--home", home), "config.invalid");
    expectThreeLines(await site("run", "--devices", "0", "--home", home), "config.invalid");
    expectThreeLines(await site("run", "--micro-batches", "half", "--home", home), "config.invalid");
    expectThreeLines(await site("init", "--home", home), "config.invalid");
    expectThreeLines(await site("fly"), "config.invalid");
  });

  it("names the command whose help knows better, and what may have been meant", async () => {
    const mistakes: [line: string, said: string][] = [
      ["joi", "no such command. Did you mean join?; see consilium-site --help"],
      [
        "join --coordnator CANARY",
        "no such option. Did you mean --coordinator?; see consilium-site join --help",
      ],
      ["join", "required option '--coordinator <url>' not specified; see consilium-site join --help"],
      ["pull dicomwb CANARY", "no such command. Did you mean dicomweb?; see consilium-site pull --help"],
      ["pull", "a command is missing: dimse, dicomweb; see consilium-site pull --help"],
      ["roster aprove CANARY", "no such command; choose approve; see consilium-site roster --help"],
      ["roster approve", "missing required argument 'site'; see consilium-site roster approve --help"],
    ];
    for (const [line, said] of mistakes) {
      const result = await site(...line.split(" "));
      expectThreeLines(result, "config.invalid");
      expect(result.stderr).toContain(said);
    }
  });
});

it.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("%s ends it with exit code %i and without a word", async (signal, expected) => {
  // A coordinator that takes the call and never answers.
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as AddressInfo;
  const args = ["join", "--coordinator", `http://127.0.0.1:${port}`, "--token", token(1), "--home", home];
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (data: Buffer) => (output += data.toString()));
  const [socket] = (await once(silent, "connection")) as [Socket];
  child.kill(signal);
  const [code] = (await once(child, "exit")) as [number];
  expect({ code, output }).toEqual({ code: expected, output: "" });
  socket.destroy();
  silent.close();
});

it("with --json the error is one line on standard output, too", async () => {
  const { code, stdout } = await site("run", "--home", home, "--json");
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ event: "error", code: "home.not-joined", culprits: [] });
});

it("doctor looks at everything and says what to do", async () => {
  const { code, stdout } = await site("doctor", "--home", home, "--json");
  expect(code).toBe(0);
  const { findings } = JSON.parse(stdout) as {
    findings: { what: string; status: string; next: string | null }[];
  };
  expect(findings.map(({ what }) => what)).toEqual(
    expect.arrayContaining([
      "node",
      "processor",
      "engine cpu",
      "engine webgpu",
      "cores",
      "memory",
      "disk",
      "site",
      "secret keys",
      "federation",
    ]),
  );
  for (const { status, next } of findings) expect(next === null).toBe(status === "ok");
});

it("doctor fails where there is no home, and still tells the rest", async () => {
  const { code, stdout, stderr } = await site("doctor", "--home", path.join(folder, "CANARY-nowhere"));
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
  expect(stdout).toMatch(/^ok +node/m);
  expect(stdout).toMatch(/^fail +home .*home\.missing/m);
});

it("receipts name what leaves before it leaves, also when nobody answers", async () => {
  const { stdout } = await site("receipts", "--home", home, "--json");
  const { receipts } = JSON.parse(stdout) as { receipts: { kind: string; state: string }[] };
  expect(receipts.slice(0, 2).map(({ kind, state }) => `${kind} ${state}`)).toEqual([
    "enrolment sending",
    "enrolment interrupted",
  ]);
});

describe("images", () => {
  const dicom = (): Promise<string> => mkdtemp(path.join(folder, "CANARY-images-"));

  it("decode tells what a file holds, its values' hash, and nothing of the person", async () => {
    const image = syntheticImage({ bitsAllocated: 16, bitsStored: 12 });
    const file = path.join(await dicom(), "a.dcm");
    await writeFile(file, await writeDicom(image, { elements: [["00100010", "PN", "CANARY"]] }));
    const raw = `${file}.raw`;
    const { code, stdout } = await site("decode", file, "--raw", raw, "--json");
    expect(code).toBe(0);
    expect(stdout).not.toContain("CANARY");
    expect(JSON.parse(stdout)).toMatchObject({
      event: "result",
      dtype: "uint16",
      frames: 1,
      bytes: image.data.length,
    });
    expect(await readFile(raw)).toEqual(Buffer.from(image.data));
    expectThreeLines(await site("decode", `${file}.none`), "dicom.unreadable");
    expectThreeLines(await site("decode", raw), "dicom.not-dicom");
  });

  it("ingest counts what it set aside; approve accepts it, among the receipts", async () => {
    const images = await dicom();
    await writeFile(path.join(images, "a.dcm"), await writeDicom(syntheticImage()));
    await writeFile(path.join(images, "b.dcm"), (await writeDicom(syntheticImage())).subarray(0, -100));
    await writeFile(path.join(images, "c.txt"), "no image");
    const ingest = await site("ingest", images, "--size", "16", "--home", home);
    expect(ingest.stdout).toMatch(/1 +dicom\.not-dicom +The file is not DICOM\./);
    expect(ingest.stdout).toMatch(/1 +dicom\.truncated +The file ends before its pixel data does\./);
    expect(ingest.stdout).toContain(
      "training     waits: 50 % of the files are used, at least 80 % are wanted",
    );
    const approve = await site("approve", "--home", home);
    expect(approve.stdout).toContain("Approved: 1 of 2 files are used (50 %).");
    expect((await site("approve", "--home", home)).stdout).toBe("Nothing waits for an approval.\n");
    const receipts = await site("receipts", "--home", home);
    expect(receipts.stdout).toMatch(/approval +- +1 of 2/);
    const again = await site("ingest", images, "--size", "16", "--home", home, "--json");
    expect(again.stdout).toContain('"needsApproval":false');
  });

  it("preview draws the same images again from the same seed, on a page for the owner's eyes alone", async () => {
    const images = await dicom();
    for (let n = 0; n < 6; n++) {
      const elements = [
        ["00080018", "UI", `2.25.10${n}`],
        ["00100010", "PN", "CANARY"],
      ] as const;
      await writeFile(
        path.join(images, `${n}.dcm`),
        await writeDicom(syntheticImage({ seed: n }), { elements }),
      );
    }
    await site("ingest", images, "--size", "16", "--cache", "looked-at", "--home", home);
    const page = async (seed: string): Promise<string> => {
      const out = path.join(images, `CANARY-${seed}.html`);
      const args = ["--cache", "looked-at", "--count", "3", "--seed", seed, "--out", out];
      const { code, stdout } = await site("preview", "--home", home, ...args, "--json");
      expect(code).toBe(0);
      expect(stdout).not.toContain("CANARY");
      expect(JSON.parse(stdout)).toMatchObject({ images: 3, total: 6 });
      expect((await stat(out)).mode & 0o777).toBe(0o600);
      return readFile(out, "utf8");
    };
    const first = await page("1");
    expect(first).not.toContain("CANARY");
    expect(first.match(/<img /g)).toHaveLength(3);
    expect(await page("1")).toBe(first);
    expect(new Set([first, await page("2"), await page("3")]).size).toBeGreaterThan(1);
    const { stderr } = await site("preview", "--cache", "none", "--home", home);
    expect(stderr).toContain('There is no such image cache. ("none")');
  });
});
