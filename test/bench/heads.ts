/**
 * One head that three hospitals teach together beside those that each trains alone, on the same few labels and from the same
 * encoder, and heads that stay at their sites over an encoder that these teach together: images of ../shared/data/pediatric-cxr, tested on its test set. Rounds are summed here without masks, which change
 * no more than the last digits.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Checkpoint } from "@consilium/shared/codec";
import { vectorLength } from "@consilium/shared/manifest";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { labelledImages, readLabels, writeLabels, type Labels } from "../../site-agent/src/dataset/labels.ts";
import { fewLabels } from "../../site-agent/src/dataset/splits.ts";
import { labelledParts } from "../../site-agent/src/dataset/training-images.ts";
import { finetuneOptions } from "../../site-agent/src/downstream/finetune-defaults.ts";
import { finetuneInThread } from "../../site-agent/src/downstream/thread.ts";
import type { ClassificationResult, FinetuneOptions } from "../../site-agent/src/downstream/types.ts";
import type { OptimizerState } from "../../site-agent/src/engine/types.ts";
import { ingestFolder } from "../../site-agent/src/ingest/ingest.ts";
import { manifestOf } from "../../site-agent/src/model/manifest.ts";
import { vitConfig } from "../../site-agent/src/model/sizes.ts";
import { vitParameters } from "../../site-agent/src/model/vit.ts";
import { createTrainer } from "../../site-agent/src/training/trainer.ts";
import type { LocalRoundResult, Trainer } from "../../site-agent/src/training/types.ts";
import type { Benchmark, Figure } from "./bench.ts";

const DATA = resolve(import.meta.dirname, "../../../shared/data/pediatric-cxr");
const HOSPITALS = ["hospital-a", "hospital-b", "hospital-c"];
const CLASSES = ["normal", "pneumonia"];
const CACHE_PX = 36;
/** Folders of five hundred images that are read of each hospital. */
const FOLDERS = 1;
/** Of each hospital; a part of them is kept to test on, as a federation would, and is used by nobody here. */
const LABELS = 120;
const LABEL_SEED = 1;
const never = new AbortController().signal;

const planFor = (pretext: object, rounds: number, training: object): Plan =>
  parsePlan({
    federation: "bench",
    title: "Benchmark",
    rounds,
    cachePx: CACHE_PX,
    model: { size: "nano", imagePx: 32, patchPx: 8 },
    pretext,
    training: { warmupRounds: 1, ...training },
    health: null,
  });

const ENCODER_PLAN = planFor({ task: "mae" }, 10, { batchSize: 32 });
const TAUGHT = { task: "classify", classes: CLASSES, testShare: 0.05 } as const;
const TEACHING = { batchSize: 16, localEpochs: 4, learningRate: 5e-4 };
const HEAD_PLAN = planFor(TAUGHT, 16, TEACHING);
const OWN_HEADS_PLAN = planFor({ ...TAUGHT, head: "site" }, 16, TEACHING);

/** Two classes of the data's three. */
const twoClasses = (labels: Labels): Labels =>
  new Map([...labels].map(([image, label]) => [image, label === "normal" ? "normal" : "pneumonia"]));

async function fillCache(folder: string, name: string, folders: number, threads: number): Promise<string> {
  const dicom = join(folder, `${name}-dicom`);
  await mkdir(dicom);
  const all = (await readdir(join(DATA, name, "dicom"))).sort().slice(0, folders);
  for (const one of all) await symlink(join(DATA, name, "dicom", one), join(dicom, one));
  const cacheDir = join(folder, name);
  const labels = [join(DATA, name, "labels.csv")];
  const secret = new Uint8Array(32).fill(1);
  await ingestFolder({ folder: dicom, cacheDir, labels, sizePx: CACHE_PX, secret, threads });
  await writeLabels(cacheDir, twoClasses(await readLabels(cacheDir)));
  return cacheDir;
}

/** Leaves these labels to the cache, and returns those that are trained on. */
async function drawLabels(cacheDir: string): Promise<{ readonly drawn: Labels; readonly taught: Labels }> {
  const cache = await openImageCache(cacheDir);
  cache.close();
  const drawn = fewLabels(
    labelledImages(cache.records, await readLabels(cacheDir)),
    { count: LABELS },
    LABEL_SEED,
  );
  const named = (images: readonly { readonly index: number; readonly label: string }[]): Labels =>
    new Map(images.map(({ index, label }) => [cache.records[index]?.image ?? "", label]));
  return {
    drawn: named(drawn),
    taught: named(labelledParts(cache, { labels: named(drawn) }, TAUGHT).taught),
  };
}

interface Federated {
  readonly values: Float32Array;
  /** What each site has kept. */
  readonly kept: readonly (Float32Array | null)[];
}

/** Rounds of FedAvg by examples. */
async function federate(
  trainer: Trainer,
  plan: Plan,
  sites: readonly string[],
  start: Float32Array,
  threads: number,
  log: (line: string) => void,
): Promise<Federated> {
  const moments: (OptimizerState | undefined)[] = [];
  const kept = sites.map((): Float32Array | null => null);
  let base = start;
  for (let round = 1; round <= plan.rounds; round++) {
    const results: LocalRoundResult[] = [];
    for (const [at, cacheDir] of sites.entries()) {
      const optimizerState = moments[at] ?? null;
      const engine = { threads, device: "cpu" } as const;
      const request = {
        plan,
        cacheDir,
        round,
        base,
        optimizerState,
        kept: kept[at] ?? null,
        seed: at + 1,
        engine,
      };
      const result = await trainer.train(request, () => undefined, never);
      moments[at] = result.optimizerState;
      kept[at] = result.kept ?? null;
      results.push(result);
    }
    const images = results.reduce((sum, { examples }) => sum + examples, 0);
    base = base.map((weight, i) =>
      results.reduce((sum, { delta, examples }) => sum + ((delta[i] ?? NaN) * examples) / images, weight),
    );
    const losses = results.map(({ metrics }) => metrics.loss.toFixed(3)).join(", ");
    log(`${plan.pretext.task}: round ${round} of ${plan.rounds}, ${images} images, losses ${losses}`);
  }
  return { values: base, kept };
}

interface Asked {
  readonly trainDir: string;
  readonly testDir: string;
  readonly threads: number;
}

async function aurocOf(
  { trainDir, testDir, threads }: Asked,
  global: Checkpoint,
  options: Partial<FinetuneOptions>,
  head: Float32Array | null = null,
): Promise<ClassificationResult["summary"][number]["auroc"]> {
  const { result } = await finetuneInThread(
    {
      task: "classification",
      model: HEAD_PLAN.model,
      trainDir,
      testDir,
      encoders: { scratch: false, own: null, global, head },
      options: { ...finetuneOptions("classification"), seeds: 1, ...options },
      engine: { threads, device: "cpu" },
    },
    () => undefined,
    never,
  );
  const [summary] = (result as ClassificationResult).summary;
  if (summary === undefined) throw new Error("nothing was compared");
  return summary.auroc;
}

const figure = (label: string, { value, low, high }: Awaited<ReturnType<typeof aurocOf>>): Figure => ({
  label: `${label}: AUROC`,
  value,
  unit: low === null || high === null ? "(no interval)" : `(${low.toFixed(3)} to ${high.toFixed(3)})`,
});

export const heads: Benchmark = {
  name: "heads",
  summary:
    "one classifier that three hospitals teach together, and heads of their own, beside those that each trains alone",
  help: "--threads 2               of the CPU",
  run: async ({ threads }, log) => {
    if (!existsSync(DATA)) {
      return { results: [], targets: [], notes: ["left out: ../shared/data/pediatric-cxr is not here"] };
    }
    const folder = await mkdtemp(join(tmpdir(), "consilium-heads-"));
    const trainer = createTrainer();
    try {
      log("reading the images");
      const testDir = await fillCache(folder, "test", Infinity, threads);
      const sites: string[] = [];
      for (const name of HOSPITALS) sites.push(await fillCache(folder, name, FOLDERS, threads));
      const labels = await Promise.all(sites.map(drawLabels));
      for (const [at, { drawn }] of labels.entries()) await writeLabels(sites[at] ?? "", drawn);

      const drawn = await trainer.genesis(ENCODER_PLAN, null);
      const { values: pretrained } = await federate(trainer, ENCODER_PLAN, sites, drawn.values, threads, log);
      const length = vectorLength(manifestOf(vitParameters(vitConfig(HEAD_PLAN.model))));
      const { manifest, values } = await trainer.genesis(HEAD_PLAN, null);
      values.set(pretrained.subarray(0, length));
      const shared = await federate(trainer, HEAD_PLAN, sites, values, threads, log);
      const encoder = { manifest: drawn.manifest, values: pretrained };
      const start = await trainer.genesis(OWN_HEADS_PLAN, null);
      start.values.set(pretrained.subarray(0, length));
      const apart = await federate(trainer, OWN_HEADS_PLAN, sites, start.values, threads, log);

      const results: Figure[] = [];
      const asked = { trainDir: sites[0] ?? "", testDir, threads };
      const released = { modes: ["released"], releasedClasses: CLASSES } as const;
      results.push(
        figure("one head of all", await aurocOf(asked, { manifest, values: shared.values }, released)),
      );
      for (const [at, name] of HOSPITALS.entries()) {
        const common = { manifest: start.manifest, values: apart.values };
        const own = await aurocOf(asked, common, released, apart.kept[at] ?? null);
        results.push(figure(`head of ${name}, encoder of all`, own));
      }
      for (const [at, name] of HOSPITALS.entries()) {
        const trainDir = sites[at] ?? "";
        await writeLabels(trainDir, labels[at]?.taught ?? new Map());
        const own = await aurocOf({ ...asked, trainDir }, encoder, { modes: ["finetune"] });
        const count = labels[at]?.taught.size ?? 0;
        results.push(figure(`${name} alone, ${count} labels`, own));
      }
      for (const { label, value, unit } of results) log(`${label} ${value.toFixed(3)} ${unit}`);
      const [together] = results.map(({ value }) => value);
      const best = Math.max(...results.slice(1 + HOSPITALS.length).map(({ value }) => value));
      const gain = (together ?? NaN) - best;
      return {
        results,
        targets: [{ name: "gain over the best alone", value: gain, target: "> 0", ok: gain > 0 }],
        notes: ["intervals of 95 %: bootstrap by patient over the test set, one draw of labels"],
      };
    } finally {
      await trainer.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
