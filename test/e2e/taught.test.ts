/** A masked federation of a real coordinator, real agents and real training, on labels: three sites teach one head. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { federationStatusSchema } from "@consilium/shared/protocol/http";
import { vectorLength } from "@consilium/shared/manifest";
import type { PlanInput } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { TestFederation, type TestSite } from "../support/federation.ts";
import { CacheWriter } from "../../site-agent/src/dataset/cache-writer.ts";
import { openImageCache } from "../../site-agent/src/dataset/cache.ts";
import { readLabels, writeLabels } from "../../site-agent/src/dataset/labels.ts";
import { labelledParts, openTrainingImages } from "../../site-agent/src/dataset/training-images.ts";
import { finetune } from "../../site-agent/src/downstream/finetune.ts";
import { FINETUNE_OPTIONS } from "../../site-agent/src/downstream/finetune-defaults.ts";
import { auroc, column } from "../../site-agent/src/downstream/metrics.ts";
import { drawToy } from "../../site-agent/src/downstream/testing/toy.ts";
import { createEngine } from "../../site-agent/src/engine/engine.ts";
import type { Engine } from "../../site-agent/src/engine/types.ts";
import { readModel } from "../../site-agent/src/home/models.ts";
import { vitConfig } from "../../site-agent/src/model/sizes.ts";
import { vitParameters } from "../../site-agent/src/model/vit.ts";
import { HeadCheck } from "../../site-agent/src/training/head-check.ts";
import { sameBits } from "../../site-agent/src/training/testing/toy.ts";
import { createTrainer } from "../../site-agent/src/training/trainer.ts";
import type { LocalRoundRequest, Trainer } from "../../site-agent/src/training/types.ts";

const CACHE_PX = 20;
const CLASSES = ["lower", "upper"];
const ROUNDS = 3;
const never = new AbortController().signal;

const PLAN = {
  rounds: ROUNDS,
  minSites: 3,
  cachePx: CACHE_PX,
  model: { imagePx: 16, patchPx: 8 },
  pretext: { task: "classify", classes: CLASSES, layerDecay: 0.9 },
  training: { batchSize: 8, warmupRounds: 0, localEpochs: 4, learningRate: 2e-3 },
  aggregation: { examplesCap: 128 },
  health: { images: 32, leastSpread: 0, evaluation: { classes: CLASSES }, patients: true },
} satisfies Partial<PlanInput>;

async function fill(cacheDir: string, seed: number, images: number): Promise<void> {
  const { records, pixels, labels } = drawToy({ images, sizePx: CACHE_PX, seed });
  const writer = await CacheWriter.open(cacheDir, CACHE_PX);
  for (const [i, record] of records.entries()) {
    const original = { ...record, view: null, bodyPart: null, rows: CACHE_PX, columns: CACHE_PX };
    await writer.append(original, pixels[i] ?? new Uint8Array());
  }
  await writer.commit();
  await writer.close();
  await writeLabels(cacheDir, labels);
}

describe("a head that three sites teach together", () => {
  let federation: TestFederation;
  let sites: TestSite[];
  let engine: Engine;
  const trainer = createTrainer();
  const asked: LocalRoundRequest[] = [];
  const recording: Trainer = {
    ...trainer,
    train: (request, ...rest) => {
      asked.push(request);
      return trainer.train(request, ...rest);
    },
  };

  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
    federation = await TestFederation.start(PLAN);
    const names = ["hospital-a", "hospital-b", "hospital-c"];
    sites = await Promise.all(names.map((name) => federation.site(name)));
    const sizes = [72, 60, 64];
    for (const [at, { home }] of sites.entries())
      await fill(home.cacheFolder("train"), at + 1, sizes[at] ?? 0);
    await Promise.all(sites.map((site) => site.run(recording).result));
  }, 120_000);
  afterAll(async () => {
    await trainer.close();
    await federation.close();
  });

  it("trains on labelled images alone, and on no patient who is tested", async () => {
    for (const { home } of sites) {
      const dir = home.cacheFolder("train");
      const images = await openTrainingImages(dir, federation.plan);
      const { tested } = labelledParts(
        await openImageCache(dir),
        { labels: await readLabels(dir) },
        {
          task: "classify",
          classes: CLASSES,
          testShare: 0.3,
        },
      );
      const patients = new Set(images.records.map(({ patient }) => patient));
      expect(tested.length).toBeGreaterThan(10);
      expect(tested.some(({ patient }) => patients.has(patient))).toBe(false);
      images.close();
    }
  });

  it("knows each round the AUROC of all sites' pooled scores within .002, and gets better", async () => {
    const response = await fetch(new URL("api/federations", federation.coordinator.url), {
      headers: { authorization: `Bearer ${federation.coordinator.operatorToken}` },
    });
    const [status] = z.array(federationStatusSchema).parse(await response.json());
    const found = (status?.history ?? []).map(({ totals }) => totals?.evaluation?.classes[0]);
    expect(found).toHaveLength(ROUNDS);
    const check = await HeadCheck.compile(engine, federation.plan);
    const base = asked.find(({ round }) => round === ROUNDS)?.base ?? new Float32Array();
    const scores: number[] = [];
    const truth: number[] = [];
    for (const { home } of sites) {
      const dir = home.cacheFolder("train");
      const looked = { cache: await openImageCache(dir), labels: await readLabels(dir), signal: never };
      const answers = await check?.answers(base, looked);
      looked.cache.close();
      if (answers == null) continue;
      scores.push(...column(answers.probabilities, 2, 1));
      truth.push(...answers.images.map(({ label }) => Number(label === "upper")));
    }
    await check?.dispose();
    const last = found.at(-1);
    expect((last?.positives ?? 0) + (last?.negatives ?? 0)).toBe(scores.length);
    expect(Math.abs((last?.auroc?.value ?? NaN) - (auroc(scores, truth)() ?? NaN))).toBeLessThan(0.002);
    expect(last?.auroc?.value).toBeGreaterThan(0.9);
  });

  it("leaves every site the same head, to ask and to keep as it is", async () => {
    const models = await Promise.all(sites.map(({ home }) => readModel(home, "global")));
    expect(new Set(models.map(({ sha256 }) => sha256)).size).toBe(1);
    const [released] = models;
    const dir = sites[0]?.home.cacheFolder("train") ?? "";
    const train = { cache: await openImageCache(dir), labels: await readLabels(dir) };
    const encoders = { scratch: true, own: null, global: released ?? null };
    const options = { ...FINETUNE_OPTIONS, modes: ["released"] as const, releasedClasses: CLASSES };
    const task = { engine, model: federation.plan.model, train, test: null, encoders, options };
    const { result, exemplar } = await finetune(task, () => undefined, never);
    expect(result.rows.map(({ from, mode, seed }) => `${from} ${mode} ${seed}`)).toEqual([
      "global released 1",
    ]);
    expect(result.classes).toEqual(CLASSES);
    expect(result.summary[0]?.auroc.value).toBeGreaterThan(0.9);
    expect(exemplar?.model?.manifest).toEqual(released?.manifest);
    const none = new Float32Array();
    expect(sameBits(exemplar?.model?.values ?? none, released?.values ?? none)).toBe(true);

    // Where heads stay at the sites, the encoder comes from the federation and the head from the site.
    const { tensors } = released?.manifest ?? { tensors: [] };
    const count = vitParameters(vitConfig(federation.plan.model)).length;
    const manifest = { tensors: tensors.slice(0, count) };
    const values = released?.values.slice(0, vectorLength(manifest)) ?? none;
    const head = released?.values.slice(values.length) ?? none;
    const ask = (own: Float32Array) =>
      finetune(
        { ...task, encoders: { ...encoders, global: { manifest, values }, head: own } },
        () => undefined,
        never,
      );
    const apart = await ask(head);
    expect(apart.result.summary).toEqual(result.summary);
    expect(sameBits(apart.exemplar?.model?.values ?? none, released?.values ?? none)).toBe(true);
    await expect(ask(head.slice(1))).rejects.toMatchObject({ code: "frame.wrong-length" });
    train.cache.close();
  });

  it("is signed with how many patients were trained on at all sites together, to two digits", async () => {
    const patients = await Promise.all(
      sites.map(async ({ home }) => {
        const images = await openTrainingImages(home.cacheFolder("train"), federation.plan);
        images.close();
        return new Set(images.records.map(({ patient }) => patient)).size;
      }),
    );
    const [one] = sites;
    if (one === undefined) throw new Error("no site");
    const together = patients.reduce((sum, count) => sum + count, 0);
    const { record } = await readModel(one.home, "global");
    expect(together).toBeGreaterThan(99);
    expect(record?.patients).toBe(Number(together.toPrecision(2)));
  });

  it("tells the coordinator no label of any image", async () => {
    const log = await readFile(path.join(federation.coordinatorHome, "audit.jsonl"), "utf8");
    const labels = await readLabels(sites[0]?.home.cacheFolder("train") ?? "");
    for (const image of labels.keys()) expect(log).not.toContain(image);
  });

  it("has no part for a site without the plan's labels, which learns why before it connects", async () => {
    const site = await federation.site("hospital-d");
    const dir = site.home.cacheFolder("train");
    await fill(dir, 9, 8);
    await writeLabels(dir, new Map([...(await readLabels(dir)).keys()].map((image) => [image, "other"])));
    await expect(site.run(trainer).result).rejects.toMatchObject({ code: "labels.not-of-plan" });
  });
});
