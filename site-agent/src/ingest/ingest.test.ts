import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openImageCache } from "../dataset/cache.ts";
import { imageKey } from "../dataset/keys.ts";
import { readLabels } from "../dataset/labels.ts";
import { NO_LABELS } from "./labels/join.ts";
import { writeDicom, type FixtureElement } from "./testing/dicom-fixture.ts";
import type { FixtureSyntax } from "./testing/encode-frame.ts";
import { syntheticImage } from "./testing/synthetic-image.ts";
import { ingestFolder, type IngestOptions, type IngestProgress, type IngestSummary } from "./ingest.ts";

const secret = new Uint8Array(32).fill(9);
let root: string;
let folder: string;
let cacheDir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "consilium-ingest-"));
  folder = join(root, "in");
  cacheDir = join(root, "cache");
  await mkdir(folder);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const run = (options: Partial<IngestOptions> = {}): Promise<IngestSummary> =>
  ingestFolder({ folder, cacheDir, secret, sizePx: 16, threads: 1, ...options });

async function put(path: string, bytes: Uint8Array | string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), bytes);
}

interface Entry {
  readonly key: string;
  readonly outcome: string;
  readonly code?: string;
}

async function manifest(): Promise<Entry[]> {
  const text = await readFile(join(cacheDir, "manifest.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Entry);
}

const uid = (n: number): FixtureElement => ["00080018", "UI", `2.25.${n}`];
const dicom = (
  n: number,
  syntax: FixtureSyntax = "explicit",
  elements: FixtureElement[] = [],
): Promise<Uint8Array> =>
  writeDicom(syntheticImage({ seed: n }), {
    syntax,
    elements: [uid(n), ["00100020", "LO", `P${n % 3}`], ...elements],
  });

async function putImages(from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await put(`${n % 4}/${String(n).padStart(4, "0")}.dcm`, await dicom(n));
}

/** Bytes of all files of the cache but those that tell of an ingest. */
async function cacheBytes(dir = cacheDir): Promise<Record<string, string>> {
  const ofOneIngest = ["manifest.jsonl", "intake.json"];
  const names = (await readdir(dir)).filter((name) => !ofOneIngest.includes(name));
  const files = await Promise.all(
    names.map(async (name) => [name, (await readFile(join(dir, name))).toString("base64")]),
  );
  return Object.fromEntries(files) as Record<string, string>;
}

describe("ingest", () => {
  it("accounts for every file: used, or set aside for a reason", async () => {
    await put("a.dcm", await dicom(1));
    await put("b/c.dcm", await dicom(2, "jpeg-ls"));
    await put("b/same.dcm", await dicom(2, "jpeg-ls"));
    await put("notes.txt", "nothing of interest");
    await put("empty", "");
    await put("cut.dcm", (await dicom(3)).subarray(0, -100));
    await put(
      "report.dcm",
      (await writeDicom(syntheticImage(), { without: ["00280010"] })).subarray(0, -1292),
    );
    await put("text.dcm", await dicom(4, "explicit", [["00280301", "CS", "YES"]]));
    await put("cine.dcm", await dicom(5, "explicit", [["00280008", "IS", "3"]]));
    await put(
      "flat.dcm",
      await writeDicom({ ...syntheticImage(), data: new Uint8Array(1280) }, { elements: [uid(6)] }),
    );
    await put(
      "short.dcm",
      await writeDicom(syntheticImage(), { elements: [uid(7)], pixelData: new Uint8Array(90) }),
    );
    await put(
      "broken.dcm",
      await writeDicom(syntheticImage(), {
        syntax: "jpeg",
        elements: [uid(8)],
        pixelData: new Uint8Array(90),
      }),
    );
    await symlink(join(root, "nowhere"), join(folder, "dangling"));
    const summary = await run({ threads: 2 });
    expect(summary).toEqual({
      files: 13,
      used: 2,
      quarantined: {
        "dicom.duplicate": 1,
        "dicom.not-dicom": 2,
        "dicom.truncated": 1,
        "dicom.no-pixels": 1,
        "dicom.burned-in": 1,
        "dicom.multi-frame": 1,
        "dicom.flat": 1,
        "dicom.wrong-size": 1,
        "dicom.decode-failed": 1,
        "dicom.unreadable": 1,
      },
      labels: NO_LABELS,
      usedShare: 2 / 10,
      minimumUsed: 0.8,
      needsApproval: true,
    });
    const entries = await manifest();
    expect(entries).toHaveLength(13);
    expect(entries.filter(({ outcome }) => outcome === "used")).toHaveLength(2);
    for (const { key } of entries) expect(key).toMatch(/^[0-9a-f]{32}$/);
    expect(entries.find(({ code }) => code === "dicom.burned-in")?.key).toBe(imageKey(secret, "2.25.4"));
    const cache = await openImageCache(cacheDir);
    expect(cache.records.map(({ image }) => image)).toEqual([
      imageKey(secret, "2.25.1"),
      imageKey(secret, "2.25.2"),
    ]);
    cache.close();
  });

  it("gives the same cache with one thread and with two", async () => {
    await putImages(0, 60);
    await run({ threads: 1 });
    await run({ threads: 2, cacheDir: join(root, "other") });
    expect(await cacheBytes(join(root, "other"))).toEqual(await cacheBytes());
  });

  it("reads no image twice, and adds new ones", async () => {
    await putImages(0, 20);
    await run();
    const before = await cacheBytes();
    expect(await run()).toMatchObject({ files: 20, used: 20, quarantined: {} });
    expect(await cacheBytes()).toEqual(before);
    await putImages(20, 25);
    expect(await run()).toMatchObject({ files: 25, used: 25 });
    const cache = await openImageCache(cacheDir);
    expect(new Set(cache.records.map(({ image }) => image)).size).toBe(25);
    expect(new Set(cache.records.map(({ patient }) => patient)).size).toBe(3);
    cache.close();
  });

  it("goes on where it was stopped and ends with the cache of one that was not", async () => {
    await putImages(0, 40);
    const stop = new AbortController();
    const reason = new Error("stopped");
    const seen: IngestProgress[] = [];
    const onProgress = (progress: IngestProgress): void => {
      seen.push(progress);
      if (progress.files === 11) stop.abort(reason);
    };
    await expect(run({ signal: stop.signal, onProgress })).rejects.toBe(reason);
    expect(seen.at(-1)).toEqual({ files: 11, total: 40, used: 11, quarantined: 0 });
    expect((await openImageCache(cacheDir)).records).toHaveLength(11);
    await run();
    await run({ cacheDir: join(root, "whole") });
    expect(await cacheBytes(join(root, "whole"))).toEqual(await cacheBytes());
  });

  it("repairs a damaged cache, and puts aside what was damaged", async () => {
    await putImages(0, 5);
    await run();
    const before = await cacheBytes();
    await writeFile(join(cacheDir, "shard-00000.json"), "[]");
    await expect(openImageCache(cacheDir)).rejects.toMatchObject({ code: "cache.corrupt" });
    await run();
    const after = Object.entries(await cacheBytes());
    const isAside = ([name]: readonly [string, unknown]): boolean => name.startsWith("damaged-");
    expect(Object.fromEntries(after.filter((entry) => !isAside(entry)))).toEqual(before);
    expect(after.filter(isAside).map(([name]) => name.replace(/-[0-9a-f]{8}-/, "-"))).toEqual([
      "damaged-shard-00000.json",
      "damaged-shard-00000.u8",
    ]);
  });

  it("joins labels and keeps them when images are added", async () => {
    await putImages(0, 6);
    const labelsFile = join(root, "labels.csv");
    await writeFile(
      labelsFile,
      "sop_instance_uid,label\n2.25.0,a\n2.25.1,b\n2.25.1,b\n2.25.2,a\n2.25.2,b\n2.25.99,a\n",
    );
    const { labels } = await run({ labels: [labelsFile] });
    expect(labels).toMatchObject({ matched: 2, unmatched: 1, duplicates: 2, conflicts: 1 });
    const expected = new Map([
      [imageKey(secret, "2.25.0"), "a"],
      [imageKey(secret, "2.25.1"), "b"],
    ]);
    expect(await readLabels(cacheDir)).toEqual(expected);
    await putImages(6, 8);
    await run();
    expect(await readLabels(cacheDir)).toEqual(expected);
  });

  it("says what is wrong with the folder, the labels or the size", async () => {
    await expect(run({ folder: join(root, "missing") })).rejects.toMatchObject({
      code: "ingest.folder-missing",
    });
    await expect(run()).rejects.toMatchObject({ code: "ingest.no-dicom" });
    await put("notes.txt", "nothing");
    await expect(run()).rejects.toMatchObject({ code: "ingest.no-dicom", detail: "(dicom.not-dicom: 1)" });
    await put("a.dcm", await dicom(1));
    const labelsFile = join(root, "labels.csv");
    await writeFile(labelsFile, "a,b\n1,2\n");
    await expect(run({ labels: [labelsFile] })).rejects.toMatchObject({ code: "labels.invalid" });
    await writeFile(labelsFile, "sop_instance_uid,label\n9.9,x\n");
    await expect(run({ labels: [labelsFile] })).rejects.toMatchObject({ code: "labels.unmatched" });
    await expect(run({ sizePx: 17 })).rejects.toMatchObject({ code: "config.invalid" });
  });
});

const SYNTAXES: readonly FixtureSyntax[] = [
  "implicit",
  "explicit",
  "big-endian",
  "deflated",
  "rle",
  "jpeg",
  "jpeg-lossless",
  "jpeg-ls",
  "jpeg-2000",
  "ht-jpeg-2000",
];

describe("damaged files", { timeout: 120_000 }, () => {
  /** Lehmer's generator: a failure repeats. */
  function random(seed: number): (bound: number) => number {
    let state = seed;
    return (bound) => {
      state = (state * 48_271) % 2_147_483_647;
      return state % bound;
    };
  }

  it("cut at any length are set aside and never used", async () => {
    const next = random(11);
    for (const syntax of SYNTAXES) {
      const whole = await dicom(1, syntax);
      // The last bytes may be padding or the delimiter, without which the image is whole.
      for (let i = 0; i < 10; i++)
        await put(`${syntax}/${i}.dcm`, whole.subarray(0, next(whole.length - 12)));
    }
    await put("sound.dcm", await dicom(2));
    const summary = await run({ threads: 2 });
    expect(summary).toMatchObject({ files: 101, used: 1 });
    const codes = Object.keys(summary.quarantined).sort();
    expect(
      codes.filter((code) => !/^dicom\.(not-dicom|truncated|no-pixels|unsupported)$/.test(code)),
    ).toEqual([]);
  });

  it("with flipped bytes never crash, hang or go uncounted", async () => {
    const next = random(5);
    const each = 30;
    for (const [s, syntax] of SYNTAXES.entries()) {
      for (let i = 0; i < each; i++) {
        const bytes = Buffer.from(await dicom(100 + s * each + i, syntax));
        // Half of them in the pixels alone, where decoders have to cope.
        const first = i % 2 === 0 ? 132 : Math.floor(bytes.length / 2);
        for (let flips = 1 + next(8); flips > 0; flips--)
          bytes[first + next(bytes.length - first)] = next(256);
        await put(`${syntax}/${i}.dcm`, bytes);
      }
    }
    const summary = await run({ threads: 2, timeoutMs: 3000 });
    const quarantined = Object.values(summary.quarantined).reduce((sum, count) => sum + count, 0);
    expect(summary.files).toBe(SYNTAXES.length * each);
    expect(summary.used + quarantined).toBe(summary.files);
    expect(await manifest()).toHaveLength(summary.files);
    const cache = await openImageCache(cacheDir);
    cache.read(
      cache.records.map((_, i) => i),
      new Uint8Array(cache.records.length * 256),
    );
    cache.close();
  });
});

describe("identifiers", { timeout: 120_000 }, () => {
  /** Text in every kind of element that may hold some, private ones and an overlay included. */
  const planted: FixtureElement[] = [
    ["00080005", "CS", "ISO_IR 100"],
    ["00080018", "UI", "2.25.CANARY"],
    ["00080050", "SH", "CANARY"],
    ["00080060", "CS", "CANARY"],
    ["00080070", "LO", "CANARY"],
    ["00080080", "LO", "CANARY General Hospital"],
    ["00080090", "PN", "CANARY^Referrer"],
    ["00081030", "LO", "CANARY"],
    ["00090010", "LO", "CANARY PRIVATE"],
    ["00091001", "UN", Buffer.from("CANARY")],
    ["00100010", "PN", "CANARY^Name"],
    ["00100020", "LO", "CANARY-1"],
    ["00100021", "LO", "CANARY issuer"],
    ["00100030", "DA", "19CANARY"],
    ["00180015", "CS", "CANARY"],
    ["00185101", "CS", "CANARY"],
    ["0020000d", "UI", "CANARY"],
    ["00204000", "LT", "CANARY comment"],
    ["00281050", "DS", "CANARY"],
    ["00281051", "DS", "CANARY"],
    ["00324000", "LT", "CANARY"],
    ["60000022", "LO", "CANARY"],
    ["60003000", "OW", Buffer.from("CANARY CANARY CANARY")],
  ];

  it("planted everywhere come out nowhere: not in the cache, the manifest, the summary or an error", async () => {
    const shown: unknown[] = [];
    const image = syntheticImage({ seed: 4 });
    for (const [i, syntax] of SYNTAXES.entries()) {
      const whole = await writeDicom(image, {
        syntax,
        elements: planted.map((e) => (e[0] === "00080018" ? [e[0], e[1], `2.25.${i}CANARY`] : e)),
      });
      await put(`CANARY folder/CANARY-${syntax}.dcm`, whole);
      await put(`CANARY folder/CANARY-${syntax}-cut.dcm`, whole.subarray(0, whole.length / 2));
      const broken = Buffer.from(whole);
      broken.fill("CANARY", whole.length - 300);
      await put(`CANARY folder/CANARY-${syntax}-broken.dcm`, broken);
    }
    await put("CANARY.txt", "CANARY");
    await put("CANARY-again.dcm", await writeDicom(image, { elements: planted }));
    const secondary: FixtureElement = ["00080008", "CS", "DERIVED\\SECONDARY\\CANARY"];
    await put("CANARY-text.dcm", await writeDicom(image, { elements: [...planted, secondary] }));
    const labelsFile = join(root, "CANARY labels.csv");
    await writeFile(labelsFile, "sop_instance_uid,patient_id,label\n2.25.CANARY,CANARY,normal\n");
    const onProgress = (progress: IngestProgress): void => {
      shown.push(progress);
    };
    shown.push(await run({ labels: [labelsFile], onProgress, threads: 2 }));
    await writeFile(labelsFile, "sop_instance_uid,patient_id,label\n2.25.CANARY,CANARY,CANARY^Name\n");
    const fails = async (options: Partial<IngestOptions>): Promise<void> => {
      const error: unknown = await run(options).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Error);
      shown.push((error as Error).message, Object.entries(error as Error));
    };
    await fails({ labels: [labelsFile] });
    await fails({ folder: join(root, "CANARY") });
    await mkdir(join(root, "CANARY only"));
    await cp(join(folder, "CANARY.txt"), join(root, "CANARY only", "CANARY.txt"));
    await fails({ folder: join(root, "CANARY only"), cacheDir: join(root, "cache2") });
    expect(JSON.stringify(shown)).not.toMatch(/canary/i);
    for (const dir of [cacheDir, join(root, "cache2")])
      for (const name of await readdir(dir)) {
        expect(name).not.toMatch(/canary/i);
        expect((await readFile(join(dir, name))).toString("latin1")).not.toMatch(/canary/i);
      }
    const cache = await openImageCache(cacheDir);
    expect(cache.records.length).toBeGreaterThanOrEqual(SYNTAXES.length);
    expect(new Set(cache.records.map(({ patient }) => patient)).size).toBe(1);
    cache.close();
  });
});
