/**
 * Nothing identifying, anywhere, under a plan for volumes: the word CANARY is planted in series, NIfTI files and masks, sound and
 * unsound ones, and every byte that came of them is searched. `test/e2e/canary.test.ts` does so with images.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { toBase64Url } from "@consilium/shared/crypto/encoding";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runInProcess } from "../../site-agent/src/cli/testing/run-in-process.ts";
import { readSource } from "../../site-agent/src/prediction/dicom/object.ts";
import { CANARY, findCanary } from "../support/canary.ts";
import { startCaptureProxy, type CaptureProxy } from "../support/capture-proxy.ts";
import { Cli } from "../support/cli.ts";
import { TestFederation } from "../support/federation.ts";
import { ASIDE, plantVolumes, SOUND_VOLUMES } from "../support/planted-volumes.ts";

let hospitalDir: string;
let home: string;
let federation: TestFederation;
let proxy: CaptureProxy;
const printed: { readonly what: string; readonly output: string; readonly code: number | null }[] = [];

const hospital = (...names: readonly string[]): string => path.join(hospitalDir, ...names);
const ward = (): string => hospital("CANARY ward");

/** As a process of its own, so that what libraries print is searched too. */
async function spawned(what: string, ...args: readonly string[]): Promise<void> {
  const cli = new Cli("site", [...args, "--home", home], { LOG_LEVEL: "debug", HOME: hospitalDir });
  const { code } = await cli.exited;
  printed.push({ what, output: cli.output, code });
}

/** In this process, without the second that another takes to start. */
async function step(what: string, ...args: readonly string[]): Promise<void> {
  const { output, code } = await runInProcess([...args, "--home", home], {
    env: { LOG_LEVEL: "debug" },
    userHome: hospitalDir,
  });
  printed.push({ what, output, code });
}

beforeAll(async () => {
  hospitalDir = path.join(await mkdtemp(path.join(tmpdir(), "consilium-planted-")), "CANARY hospital");
  await plantVolumes(hospitalDir);
  federation = await TestFederation.start({
    rounds: 1,
    minSites: 1,
    cachePx: 16,
    volume: { depthPx: 6, sliceSpacingMm: 20, pixelSpacingMm: 14 },
    model: { dimensions: 3, depthPx: 4, patchDepthPx: 2, imagePx: 16, patchPx: 8, channels: 1 },
    pretext: { task: "mae", decoder: { width: 16, depth: 1, heads: 2 } },
    training: { batchSize: 4, warmupRounds: 0 },
  });
  proxy = await startCaptureProxy(federation.port);
  const site = await federation.site("st-mary", proxy.url);
  home = site.home.folder;
  // Which patients are set apart for testing follows from it: some of them, and not all.
  const secret = toBase64Url(new Uint8Array(32).fill(7));
  await writeFile(path.join(home, "hmac.json"), JSON.stringify({ schemaVersion: 1, secret }));

  const threads = ["--threads", "1"];
  await spawned(
    "ingest",
    "ingest",
    ward(),
    ...threads,
    "--nifti-modality",
    "CT",
    "--min-used",
    "0.01",
    "--json",
  );
  await step("label with broken masks", "label", hospital("CANARY broken masks"), "--images", ward());
  await step("label nothing", "label", hospital("CANARY none"), "--images", ward());
  await step("label", "label", hospital("CANARY masks"), "--images", ward());
  await step("label classes", "label", hospital("CANARY classes.csv"));
  await step("preview", "preview", "--out", hospital("page.html"));
  await step("run", "run", ...threads);
  const once = ["--modes", "finetune", "--epochs", "1", "--seeds", "1", "--from", "global", ...threads];
  const masks = ["--task", "segmentation", "--head", "linear", "--save", "left"];
  await step("finetune", "finetune", ...once, ...masks, "--report", hospital("report.html"));
  await step("finetune boxes", "finetune", ...once, "--task", "localization");
  const ask = (out: string) => [
    ...["--model", "left", "--out", hospital(out), "--dicom", "--nifti", "--nifti-modality", "CT"],
    ...threads,
  ];
  const unasked = hospital("CANARY new");
  await spawned("predict", "predict", unasked, ...ask("CANARY predictions"), "--json");
  await step("predict of nothing", "predict", path.join(unasked, "CANARY gap"), ...ask("CANARY nothing"));
  const slice = hospital("CANARY ward", "CANARY 1", "CANARY 1.dcm");
  await step("decode", "decode", slice, "--raw", hospital("raw"));
  await step("export", "export", "--format", "checkpoint", "--out", hospital("encoder.ckpt"));
  await step("export for timm", "export", "--out", hospital("encoder.safetensors"));
  await step("receipts", "receipts");
}, 120_000);

afterAll(async () => {
  await proxy.close();
  await federation.close();
  await rm(path.dirname(hospitalDir), { recursive: true, force: true });
});

async function filesBelow(folder: string): Promise<{ readonly name: string; readonly bytes: Buffer }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => path.join(parentPath, name));
  return Promise.all(
    files.map(async (file) => ({ name: path.relative(folder, file), bytes: await readFile(file) })),
  );
}

async function canariesBelow(folder: string): Promise<string[]> {
  return (await filesBelow(folder)).flatMap(({ name, bytes }) =>
    [...findCanary(bytes), ...findCanary(Buffer.from(name))].map((form) => `${name}: ${form}`),
  );
}

describe("the commands did with volumes what they were to do", () => {
  const outputOf = (what: string) => printed.find((one) => one.what === what);

  it("volumes are made and asked about, and files are set aside for every reason", () => {
    for (const what of [
      "ingest",
      "label",
      "label classes",
      "preview",
      "run",
      "finetune",
      "predict",
      "export",
    ])
      expect(outputOf(what)?.code, outputOf(what)?.output).toBe(0);
    const { output = "" } = outputOf("ingest") ?? {};
    expect(output).toContain(`"volumes":${SOUND_VOLUMES},`);
    for (const reason of ASIDE) expect(output).toContain(`"${reason}"`);
    expect(outputOf("predict")?.output).toContain('"dicom":1,"nifti":2');
  });

  it.each([
    ["label with broken masks", "labels.unmatched"],
    ["label nothing", "labels.invalid"],
    ["finetune boxes", "model.of-volumes"],
    ["export for timm", "model.of-volumes"],
    ["predict of nothing", "ingest.no-dicom"],
  ])("%s ends with %s", (what, code) => {
    expect(outputOf(what)?.code).toBe(1);
    expect(outputOf(what)?.output).toContain(code);
  });
});

describe("the word that is in volumes is nowhere", () => {
  it("in what any command printed, with all that a debug log says", () => {
    // The frames of a debug log name this very file.
    const found = printed.flatMap(({ what, output }) =>
      findCanary(Buffer.from(output.replaceAll(path.basename(import.meta.filename), ""))).map(
        (form) => `${what}: ${form}`,
      ),
    );
    expect(found).toEqual([]);
  });

  it("in the site's home and at the coordinator: caches, masks, labels, models, database, objects, log", async () => {
    expect((await filesBelow(home)).length).toBeGreaterThan(10);
    expect(await canariesBelow(federation.folder)).toEqual([]);
  });

  it("in the preview, the report, the decoded pixels or the exported encoder", async () => {
    const made = ["encoder.ckpt", "page.html", "raw", "report.html"];
    for (const name of made) expect(findCanary(await readFile(hospital(name))), name).toEqual([]);
    const left = (await readdir(hospitalDir)).filter((name) => !name.startsWith(CANARY)).sort();
    expect(left).toEqual(made);
  });

  it("in anything that the site sent", () => {
    expect(proxy.captured().length).toBeGreaterThan(100_000);
    expect(findCanary(proxy.captured())).toEqual([]);
  });

  it("in masks as NIfTI, of whatever they were made", async () => {
    const masks = (await filesBelow(hospital("CANARY predictions", "nifti"))).map(({ bytes }) =>
      gunzipSync(bytes),
    );
    expect(masks).toHaveLength(2);
    for (const mask of masks) expect(findCanary(mask)).toEqual([]);
  });

  it("in a series' masks as DICOM, but where the archive needs it: whose they are and of which study", async () => {
    const [object] = await filesBelow(hospital("CANARY predictions", "dicom"));
    const { dataset } = await readSource(hospital("CANARY predictions", "dicom", object?.name ?? ""));
    const said = Object.entries(dataset).filter(([, value]) => JSON.stringify(value).includes(CANARY));
    expect(said.map(([keyword]) => keyword).sort()).toEqual([
      "AccessionNumber",
      "IssuerOfPatientID",
      "PatientBirthDate",
      "PatientID",
      "PatientName",
      "PatientSex",
      "ReferringPhysicianName",
      "StudyDate",
      "StudyDescription",
      "StudyID",
      "StudyTime",
    ]);
  });

  it("in the tables, beyond the names of files that they are about", async () => {
    const tables = ["predictions.csv", "set-aside.csv"].map((name) => hospital("CANARY predictions", name));
    const cells = (await Promise.all(tables.map((table) => readFile(table, "utf8"))))
      .flatMap((table) => table.trimEnd().split("\n"))
      .map((row) => row.split(","));
    expect(cells).toHaveLength(2 + 2 + 7);
    expect(findCanary(Buffer.from(cells.map(([, ...others]) => others.join()).join()))).toEqual([]);
  });
});
