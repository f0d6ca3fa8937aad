/**
 * Nothing identifying, anywhere: the word CANARY is planted in everything that a hospital's files can say, every command
 * is run as a process of its own, also into every error that bad files, bad labels and bad command lines lead to, and then
 * every byte that came of it is searched: home, caches, what was printed, what was sent, and all that the coordinator keeps.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sha256 } from "@consilium/shared/canonical";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runInProcess } from "../../site-agent/src/cli/testing/run-in-process.ts";
import { CANARY, findCanary, textElements } from "../support/canary.ts";
import { startCaptureProxy, type CaptureProxy } from "../support/capture-proxy.ts";
import { Cli, type Exit } from "../support/cli.ts";
import { plantHospital, SOUND } from "../support/planted-hospital.ts";

const plan = {
  federation: "lungs",
  title: "Planted",
  rounds: 2,
  minSites: 1,
  // One site alone has nobody to hide among.
  aggregation: { secure: "plain" },
  cachePx: 32,
  model: { size: "nano", imagePx: 32, patchPx: 8 },
  pretext: { task: "mae", decoder: { width: 32, depth: 1, heads: 2 } },
  training: { localEpochs: 3, batchSize: 8 },
};

/** The coordinator's own folder. No path of a hospital has any business there. */
let coordinatorDir: string;
/** The hospital's: the word stands in the path of everything below it, so a path that is repeated shows. */
let hospitalDir: string;
let proxy: CaptureProxy;
let coordinator: Cli;
/** What was printed, by command. */
const printed: { readonly what: string; readonly output: string; readonly exit: Exit }[] = [];

const hospital = (...names: readonly string[]): string => path.join(hospitalDir, ...names);
const home = (): string => hospital("home");

/** Runs a command as a process of its own. */
async function step(what: string, ...args: readonly string[]): Promise<void> {
  const cli = new Cli("site", args, environment());
  const exit = await cli.exited;
  printed.push({ what, output: cli.output, exit });
}

/** Everything that a debug log may say, and the user's own folders in sight. */
const environment = () => ({ LOG_LEVEL: "debug", HOME: hospitalDir });

beforeAll(async () => {
  coordinatorDir = await mkdtemp(path.join(tmpdir(), "consilium-planted-"));
  hospitalDir = path.join(await mkdtemp(path.join(tmpdir(), "consilium-planted-")), "CANARY hospital");
  await mkdir(hospitalDir);
  await plantHospital(hospitalDir);
  await writeFile(path.join(coordinatorDir, "plan.json"), JSON.stringify(plan));
  const coordinatorHome = path.join(coordinatorDir, "home");
  coordinator = new Cli("coordinator", [
    "serve",
    ...["--home", coordinatorHome, "--host", "127.0.0.1", "--port", "0", "--json"],
    ...["--plan", path.join(coordinatorDir, "plan.json")],
  ]);
  const { url } = await coordinator.waitFor(({ event }) => event === "listening");
  proxy = await startCaptureProxy(Number(new URL(String(url)).port));
  const invite = new Cli("coordinator", ["invite", "--home", coordinatorHome, "--site", "st-mary", "--json"]);
  await invite.exited;
  const token = String(invite.lines.at(-1)?.["token"]);

  const at = ["--home", home()];
  const ward = hospital("CANARY ward");
  const labels = (name: string): string[] => ["--labels", hospital(`CANARY ${name}.csv`)];
  await step("init", "init", ...at, "--site", "st-mary");
  await step("policy", "policy", ...at, "--accept-plain", "--min-cohort", "1");
  await step("join", "join", ...at, "--coordinator", proxy.url, "--token", token);
  const hash = planHash(parsePlan(plan));
  await step("plan", "plan", ...at);
  await step("plan approve, of another", "plan", "approve", sha256(CANARY), ...at);
  await step("plan approve", "plan", "approve", hash, ...at);
  await step("ingest a folder that is not there", "ingest", hospital("CANARY missing"), ...at);
  await step("ingest nothing usable", "ingest", hospital("CANARY notes"), ...at, "--cache", "none");
  for (const name of ["wrong", "strangers"])
    await step(`ingest with ${name} labels`, "ingest", ward, ...at, ...labels(name), "--threads", "1");
  await step("ingest", "ingest", ward, ...at, ...labels("labels"), "--threads", "1", "--json");
  const test = ["--cache", "test", ...labels("labels"), "--threads", "1"];
  await step("ingest for testing", "ingest", hospital("CANARY test"), ...at, ...test);
  await step("train before the approval", "run", ...at);
  await step("approve", "approve", ...at);
  await step("label with strangers", "label", hospital("CANARY strangers.csv"), ...at);
  await step("label", "label", hospital("CANARY labels.csv"), ...at);
  const nobody = ["--peer", "CANARY@127.0.0.1:1", "--query", "PatientName=CANARY^*"];
  await step("pull from nobody", "pull", "dimse", ...at, ...nobody);
  const nowhere = ["--url", "http://127.0.0.1:1/CANARY", "--header", "x: CANARY"];
  await step("pull from nowhere", "pull", "dicomweb", ...at, ...nowhere);
  await step("listen without a certificate", "listen", ...at, "--allow", "CANARY@127.0.0.1", "--cert", ward);
  await step("privacy", "privacy", ...at);
  await step("preview", "preview", ...at, "--out", hospital("page.html"));
  const image = path.join(ward, "CANARY bed 1");
  await step("decode", "decode", path.join(image, "CANARY 5.dcm"), "--raw", hospital("pixels.raw"));
  await step("decode what traps", "decode", path.join(image, "CANARY trap jpeg-2000 0.5.dcm"));
  await step("decode a file that is not there", "decode", hospital("CANARY none.dcm"), "--json");

  const first = new Cli("site", ["run", ...at, "--threads", "1", "--json"], environment());
  await first.waitFor(({ event, phase }) => event === "progress" && phase === "training");
  const exit = await first.kill("SIGTERM");
  printed.push({ what: "run, stopped", output: first.output, exit });
  await step("run", "run", ...at, "--threads", "1");
  const once = ["--modes", "finetune", "--epochs", "1", "--seeds", "1", "--from", "global"];
  const kept = ["--save", "lungs", "--report", hospital("report.html")];
  await step("finetune", "finetune", ...at, "--test", "test", ...once, ...kept, "--threads", "1", "--json");
  // What it writes names files and patients, as it must; what it says and keeps does not.
  const out = hospital("CANARY predictions");
  await step(
    "predict",
    "predict",
    hospital("CANARY test"),
    ...at,
    "--model",
    "lungs",
    "--out",
    out,
    "--dicom",
  );
  await step(
    "reconstruct",
    "reconstruct",
    ...at,
    "--count",
    "2",
    "--out",
    hospital("pictures"),
    "--threads",
    "1",
  );
  await step("export", "export", ...at, "--out", hospital("encoder.safetensors"));
  await step("export into a file", "export", ...at, "--out", hospital("CANARY labels.csv", "x"));
  await step("receipts", "receipts", ...at);
  await step("doctor", "doctor", ...at, "--json");
  await step("no home", "receipts", "--home", hospital("CANARY nobody"));
}, 240_000);

afterAll(async () => {
  await coordinator.kill();
  await proxy.close();
  await rm(coordinatorDir, { recursive: true, force: true });
  await rm(path.dirname(hospitalDir), { recursive: true, force: true });
});

/** Every file below a folder: its name there, and its bytes. */
async function filesBelow(folder: string): Promise<{ readonly name: string; readonly bytes: Buffer }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const file = path.join(entry.parentPath, entry.name);
        return { name: path.relative(folder, file), bytes: await readFile(file) };
      }),
  );
}

async function canariesBelow(folder: string): Promise<string[]> {
  return (await filesBelow(folder)).flatMap(({ name, bytes }) =>
    [...findCanary(bytes), ...findCanary(Buffer.from(name))].map((form) => `${name}: ${form}`),
  );
}

describe("the search", () => {
  it("finds the word in every form that it is looked for in", () => {
    const forms = [
      Buffer.from("xCANARYx"),
      Buffer.from("canary", "utf16le"),
      Buffer.from(Buffer.from("a Canary").toString("hex")),
      ...["", "a", "bc", "def"].map((before) =>
        Buffer.from(Buffer.from(`${before}CANARY!`).toString("base64")),
      ),
    ];
    for (const bytes of forms) expect(findCanary(bytes), bytes.toString("latin1")).not.toEqual([]);
    expect(findCanary(Buffer.from("a canal, 434e4152"))).toEqual([]);
  });

  it("has a great deal to find", async () => {
    expect(textElements().length).toBeGreaterThan(2_000);
    const planted = await filesBelow(hospital("CANARY ward"));
    expect(planted.filter(({ bytes }) => findCanary(bytes).length > 0).length).toBeGreaterThan(SOUND + 20);
  });
});

describe("the commands did what they were to do", () => {
  const outputOf = (what: string) => printed.find((one) => one.what === what);

  it.each([
    ["ingest a folder that is not there", "ingest.folder-missing"],
    ["ingest nothing usable", "ingest.no-dicom"],
    ["ingest with wrong labels", "labels.invalid"],
    ["ingest with strangers labels", "labels.unmatched"],
    ["train before the approval", "training.not-approved"],
    ["decode a file that is not there", "dicom.unreadable"],
    ["export into a file", "disk.denied"],
    ["label with strangers", "labels.unmatched"],
    ["no home", "home.missing"],
    ["plan approve, of another", "plan.other-hash"],
  ])("%s ends with %s", (what, code) => {
    expect(outputOf(what)?.exit.code).toBe(1);
    expect(outputOf(what)?.output).toContain(code);
  });

  it("the others end well, and the files are set aside for every reason", () => {
    for (const what of [
      "init",
      "join",
      "plan",
      "plan approve",
      "ingest",
      "approve",
      "preview",
      "decode",
      "run",
      "finetune",
      "predict",
      "reconstruct",
    ])
      expect(outputOf(what)?.exit, outputOf(what)?.output).toEqual({ code: 0, signal: null });
    expect(outputOf("run, stopped")?.exit.code).toBe(143);
    const { output = "" } = outputOf("ingest") ?? {};
    for (const reason of [
      "duplicate",
      "truncated",
      "unsupported",
      "burned-in",
      "no-pixels",
      "not-dicom",
      "unreadable",
      "decode-failed",
    ])
      expect(output).toContain(`"dicom.${reason}"`);
  });
});

describe("the word is nowhere", () => {
  it("in what any command printed, with all that a debug log says", () => {
    const found = printed.flatMap(({ what, output }) =>
      findCanary(Buffer.from(output)).map((form) => `${what}: ${form}`),
    );
    expect(found).toEqual([]);
  });

  it("in any file of the site's home: caches, manifests, labels, receipts, models, what a stopped run left", async () => {
    expect((await filesBelow(home())).length).toBeGreaterThan(10);
    expect(await canariesBelow(home())).toEqual([]);
  });

  it("in the preview, the report, the pictures, the decoded pixels or the exported encoder", async () => {
    for (const name of [
      "page.html",
      "pixels.raw",
      "report.html",
      ...["", ".json", ".md"].map((end) => `encoder.safetensors${end}`),
    ])
      expect(findCanary(await readFile(hospital(name))), name).toEqual([]);
    expect(await canariesBelow(hospital("pictures"))).toEqual([]);
  });

  it("beside these: commands and their libraries leave nothing else lying about, in the user's own folders either", async () => {
    const left = (await readdir(hospitalDir)).filter((name) => !name.startsWith(CANARY)).sort();
    const made = [
      "encoder.safetensors",
      "encoder.safetensors.json",
      "encoder.safetensors.md",
      "home",
      "page.html",
      "pictures",
      "pixels.raw",
      "report.html",
    ];
    expect(left).toEqual(made);
  });

  it("in anything that the site sent", () => {
    expect(proxy.captured().length).toBeGreaterThan(100_000);
    expect(findCanary(proxy.captured())).toEqual([]);
  });

  it("at the coordinator: its database, objects, audit log and what it printed", async () => {
    expect(await canariesBelow(path.join(coordinatorDir, "home"))).toEqual([]);
    expect(findCanary(Buffer.from(coordinator.output))).toEqual([]);
  });
});

it("a command line that is wrong in any way is never repeated", async () => {
  const { output, codes } = await misuses([
    [CANARY],
    ["runn"],
    ["run", `--${CANARY}`],
    ["run", "--cach", "x"],
    ["run", `-${CANARY}`],
    ["run", "--device", CANARY],
    ["run", "--threads", CANARY],
    ["ingest"],
    ["ingest", "a", CANARY],
    ["ingest", "a", "--cache", `${CANARY}/..`],
    ["ingest", "a", "--size", CANARY],
    ["ingest", "a", "--min-used", CANARY],
    ["init", "--site", `${CANARY} Hospital`],
    ["join", "--coordinator", `https://${CANARY}:${CANARY}@x`, "--token", "x"],
    ["join", "--coordinator", "https://x", "--token", `consilium1.${CANARY}`],
    ["export", "--format", CANARY, "--out", "x"],
    ["export", "--format", `' is invalid. ${CANARY}`, "--out", "x"],
    ["finetune", "--modes", CANARY],
    ["finetune", "--from", `global,${CANARY}`],
    ["preview", "--count", CANARY],
    ["preview", "--cache", `${CANARY} ward`],
  ]);
  // The frames of a debug log name this very file.
  const searched = output.replaceAll(path.basename(import.meta.filename), "");
  expect(findCanary(Buffer.from(searched))).toEqual([]);
  expect(new Set(codes)).toEqual(new Set([1]));
  // And it still says what to mend.
  expect(output).toContain("Did you mean run?");
  expect(output).toContain("Did you mean --cache?");
  expect(output).toContain("Allowed choices are safetensors, onnx, checkpoint");
});

/** In this process, since nothing but the words on the command line matters to them. */
async function misuses(lines: readonly (readonly string[])[]): Promise<{ output: string; codes: number[] }> {
  const ran = [];
  for (const line of lines)
    ran.push(
      await runInProcess([...line, "--home", home()], {
        env: { LOG_LEVEL: "debug" },
        userHome: hospitalDir,
        fetch: () => Promise.reject(new Error("nothing is sent")),
      }),
    );
  return { output: ran.map(({ output }) => output).join(""), codes: ran.map(({ code }) => code) };
}
