/** Files read a second: header alone, and decoded to stored values, beside pydicom and the toolkits in the same run. */
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { WorkerPool } from "../../site-agent/src/ingest/worker-pool.ts";
import { atLeast, type Benchmark, type Figure, type Target } from "./bench.ts";
import { KINDS, makeFiles, SIDE_PX, type Kind } from "./ingest-files.ts";
import {
  convertAll,
  findConverters,
  findPydicom,
  HOW_TO_ADD_PYDICOM,
  Pydicom,
  type Converter,
} from "./ingest-peers.ts";
import type { ReadingResult, ReadingTask } from "./ingest-worker.ts";
import { median } from "./statistics.ts";

/** Files in one pass, so that a pass takes a second or so. */
const FILES: Readonly<Record<Kind | "header", number>> = {
  header: 4096,
  uncompressed: 512,
  "jpeg-lossless": 96,
  "jpeg-2000": 48,
};
const LEAST_HEADERS_PER_SECOND = 4000;
const WORKER = new URL("./ingest-worker.ts", import.meta.url);

export const ingest: Benchmark = {
  name: "ingest",
  summary: "DICOM files read a second, beside pydicom, dcmtk and gdcm",
  help: `--threads 2               threads of ours, processes of the others
  --repeats 5               passes over each kind of file, ours and pydicom's in turn; medians count
${SIDE_PX} x ${SIDE_PX} pixels of 16 bits, files in the disk's cache, pixels decoded to stored values and dropped.`,
  run: async ({ threads, repeats }, log) => {
    const folder = await mkdtemp(path.join(os.tmpdir(), "consilium-ingest-bench-"));
    const results: Figure[] = [];
    const targets: Target[] = [];
    const notes: string[] = [];
    const python = await findPydicom();
    if (python === null) notes.push(HOW_TO_ADD_PYDICOM);
    const converters = await findConverters();
    if (converters.length === 0) notes.push("dcmtk and gdcm were left out: they are not installed");
    else notes.push("dcmj2pnm and gdcmconv start a process for each file and write what they decoded");
    log("writing files");
    const files = await makeFiles(folder);
    const ours = new Ours(threads);
    const pydicom = python === null ? null : await Pydicom.start(python, threads);
    if (pydicom !== null)
      notes.push(
        `pydicom ${pydicom.hello.pydicom} with ${pydicom.hello.plugins.join(", ")}, ${threads} processes`,
      );
    try {
      for (const kind of ["header", ...KINDS] as const) {
        log(kind);
        const paths = cycled(files[kind === "header" ? "uncompressed" : kind], FILES[kind]);
        const rates = await compare(ours, pydicom, paths, kind !== "header", repeats ?? 5);
        results.push({ label: `${kind}: ours`, value: rates.ours, unit: "files/s" });
        if (rates.pydicom !== null) {
          results.push({ label: `${kind}: pydicom`, value: rates.pydicom, unit: "files/s" });
          targets.push(atLeast(`${kind}: ours, of pydicom's`, rates.ours / rates.pydicom, 1));
        }
        if (kind === "header")
          targets.push(atLeast("header: ours", rates.ours, LEAST_HEADERS_PER_SECOND, " files/s"));
        else results.push(...(await converterFigures(converters, kind, files[kind], threads)));
      }
    } finally {
      await ours.close();
      await pydicom?.end();
      await rm(folder, { recursive: true, force: true });
    }
    return { results, targets, notes };
  },
};

/** The same reading code that `consilium-site ingest` runs, in threads of the same pool. */
class Ours {
  readonly #pool: WorkerPool<ReadingTask, ReadingResult>;
  readonly #threads: number;

  constructor(threads: number) {
    this.#threads = threads;
    this.#pool = new WorkerPool({ threads, timeoutMs: 600_000, script: WORKER, data: null });
  }

  async read(paths: readonly string[], pixels: boolean): Promise<{ ms: number; values: number }> {
    const start = performance.now();
    const shares = Array.from({ length: this.#threads }, (_, t) =>
      paths.filter((_path, i) => i % this.#threads === t),
    );
    const done = await Promise.all(shares.map((share) => this.#pool.run({ paths: share, pixels })));
    const values = done.reduce((sum, result) => sum + (result?.values ?? NaN), 0);
    return { ms: performance.now() - start, values };
  }

  close = (): Promise<void> => this.#pool.close();
}

/** In turn, so that what else the machine does meets both; the first pass of each warms up and does not count. */
async function compare(
  ours: Ours,
  pydicom: Pydicom | null,
  paths: readonly string[],
  pixels: boolean,
  repeats: number,
): Promise<{ readonly ours: number; readonly pydicom: number | null }> {
  const rates = { ours: [] as number[], pydicom: [] as number[] };
  for (let pass = 0; pass <= repeats; pass++) {
    const mine = await ours.read(paths, pixels);
    const theirs = await pydicom?.read(paths, pixels);
    if (pixels && mine.values !== paths.length * SIDE_PX ** 2) throw new Error("not every file was decoded");
    if (pixels && theirs !== undefined && theirs.values !== mine.values) throw new Error("pydicom read less");
    if (pass === 0) continue;
    rates.ours.push((paths.length * 1000) / mine.ms);
    if (theirs !== undefined) rates.pydicom.push((paths.length * 1000) / theirs.ms);
  }
  return { ours: median(rates.ours), pydicom: pydicom === null ? null : median(rates.pydicom) };
}

async function converterFigures(
  converters: readonly Converter[],
  kind: Kind,
  paths: readonly string[],
  parallel: number,
): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const converter of converters.filter(({ kinds }) => kinds.includes(kind))) {
    const ms = await convertAll(converter, paths, parallel);
    figures.push({ label: `${kind}: ${converter.tool}`, value: (paths.length * 1000) / ms, unit: "files/s" });
  }
  return figures;
}

const cycled = (paths: readonly string[], count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => paths[i % paths.length] ?? "");
