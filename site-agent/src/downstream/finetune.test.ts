import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CacheWriter } from "../dataset/cache-writer.ts";
import { writeLabels } from "../dataset/labels.ts";
import { createEngine } from "../engine/engine.ts";
import type { Engine } from "../engine/types.ts";
import { initialWeights } from "../model/initial-weights.ts";
import { vitConfig } from "../model/sizes.ts";
import { linearParameters, vitParameters } from "../model/vit.ts";
import { manifestOf } from "../model/manifest.ts";
import { FINETUNE_OPTIONS, FINETUNE_SETTINGS } from "./finetune-defaults.ts";
import { finetune } from "./finetune.ts";
import { drawToy, toyCache } from "./testing/toy.ts";
import { finetuneInThread } from "./thread.ts";
import type { FinetuneOptions, FinetuneProgress } from "./types.ts";

const { model } = parsePlan({
  federation: "toy",
  title: "Toy",
  rounds: 1,
  model: { imagePx: 16, patchPx: 8 },
});
const sizePx = 20;
const options: FinetuneOptions = {
  ...FINETUNE_OPTIONS,
  labels: { count: 24 },
  negativeClass: "lower",
  settings: {
    ...FINETUNE_SETTINGS,
    batchSize: 8,
    minSteps: 30,
    maxSteps: 30,
    learningRate: 2e-3,
    layerDecay: 0.9,
  },
};

/** A checkpoint as the federation makes them: this encoder and a pretext head. */
function checkpoint(seed: number, imageModel = model) {
  const parameters = [...vitParameters(vitConfig(imageModel)), ...linearParameters("decoder_embed", 128, 16)];
  return { manifest: manifestOf(parameters), values: initialWeights(parameters, seed) };
}

const never = new AbortController().signal;
const train = () => toyCache({ images: 60, sizePx, seed: 1, imagesPerPatient: 2 });
const test = () => toyCache({ images: 40, sizePx, seed: 2, imagesPerPatient: 2 });

describe("fine-tuning from end to end", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("compares encoders on equal terms and says the same for the same seeds", async () => {
    const encoders = { scratch: true, own: null, global: checkpoint(5) };
    const seen: FinetuneProgress[] = [];
    const task = { engine, model, train: train(), test: test(), encoders, options };
    const { result } = await finetune(
      task,
      (progress) => {
        seen.push(progress);
      },
      never,
    );
    expect(result.classes).toEqual(["lower", "upper"]);
    expect(result.labels.images).toBe(24);
    expect(result.test).toEqual({ images: 40, patients: 20 });
    expect(result.testSource).toBe("cache");
    const runs = result.rows.map(({ from, mode, seed }) => `${from} ${mode} ${seed}`);
    expect(runs).toEqual(
      ["scratch", "global"].flatMap((from) =>
        ["probe 1", "probe 2", "finetune 1", "finetune 2"].map((rest) => `${from} ${rest}`),
      ),
    );
    for (const { from, mode, auroc } of result.summary) {
      if (mode === "finetune") expect([from, auroc.value > 0.8]).toEqual([from, true]);
    }
    expect(seen.at(-1)).toMatchObject({ run: 8, runs: 8, from: "global", seed: 2, step: 30, steps: 30 });

    // The same seed gives the same numbers, whatever else was run beside it.
    const only = { ...options, modes: ["finetune"], seeds: 1 } satisfies FinetuneOptions;
    const alone = { ...task, encoders: { scratch: false, own: null, global: checkpoint(5) }, options: only };
    const { result: again } = await finetune(alone, () => undefined, never);
    const before = result.rows.filter(
      ({ from, mode, seed }) => from === "global" && mode === "finetune" && seed === 1,
    );
    expect(again.rows).toEqual(before);
  }, 120_000);

  it("splits by patient where there is no test cache", async () => {
    const encoders = { scratch: true, own: null, global: null };
    const probes: FinetuneOptions = { ...options, modes: ["probe"], seeds: 1, labels: null };
    const task = { engine, model, train: train(), test: null, encoders, options: probes };
    const { result } = await finetune(task, () => undefined, never);
    expect(result.testSource).toBe("split");
    expect(result.labels.images + result.test.images).toBe(60);
    expect(result.labels.patients + result.test.patients).toBe(30);
  });

  it("refuses the weights of another model, and a run without any encoder", async () => {
    const other = checkpoint(1, { ...model, patchPx: 4 });
    const task = { engine, model, train: train(), test: null, options };
    await expect(
      finetune({ ...task, encoders: { scratch: false, own: other, global: null } }, () => undefined, never),
    ).rejects.toMatchObject({ code: "manifest.mismatch", culprits: ["patch_embed.proj.weight"] });
    await expect(
      finetune({ ...task, encoders: { scratch: false, own: null, global: null } }, () => undefined, never),
    ).rejects.toMatchObject({ code: "config.invalid" });
  });

  it("reports weights that lead nowhere as divergence", async () => {
    const broken = checkpoint(1);
    broken.values.fill(NaN);
    const encoders = { scratch: false, own: null, global: broken };
    for (const mode of ["probe", "finetune"] as const) {
      const one: FinetuneOptions = { ...options, modes: [mode], seeds: 1 };
      await expect(
        finetune(
          { engine, model, train: train(), test: test(), encoders, options: one },
          () => undefined,
          never,
        ),
      ).rejects.toMatchObject({ code: "training.diverged" });
    }
  });

  it("stops at a step's border", async () => {
    const stop = new AbortController();
    const encoders = { scratch: true, own: null, global: null };
    const whole: FinetuneOptions = { ...options, modes: ["finetune"] };
    const seen: number[] = [];
    const running = finetune(
      { engine, model, train: train(), test: test(), encoders, options: whole },
      ({ step }) => {
        seen.push(step);
        if (step === 3) stop.abort();
      },
      stop.signal,
    );
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(seen).toEqual([0, 1, 2, 3]);
  });
});

describe("the fine-tuning thread", () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "consilium-finetune-"));
    for (const [name, seed] of [
      ["train", 1],
      ["test", 2],
    ] as const) {
      const toy = drawToy({ images: 40, sizePx, seed });
      const writer = await CacheWriter.open(join(home, name), sizePx);
      for (const [i, record] of toy.records.entries()) {
        const stored = { ...record, view: null, bodyPart: null, rows: sizePx, columns: sizePx };
        await writer.append(stored, toy.pixels[i] ?? new Uint8Array());
      }
      await writer.commit();
      await writer.close();
      await writeLabels(join(home, name), toy.labels);
    }
  });
  afterAll(() => rm(home, { recursive: true }));

  const request = () => ({
    task: "classification" as const,
    model,
    trainDir: join(home, "train"),
    testDir: join(home, "test"),
    encoders: { scratch: true, own: checkpoint(3), global: null },
    options: { ...options, modes: ["probe"], seeds: 1 } satisfies FinetuneOptions,
    engine: { threads: 1, device: "cpu" as const },
  });

  it("gives what the call gives, with progress", async () => {
    const seen: FinetuneProgress[] = [];
    const { result } = await finetuneInThread(request(), (progress) => seen.push(progress), never);
    expect(result.rows.map(({ from }: { from: string }) => from)).toEqual(["scratch", "own"]);
    expect(seen.length).toBeGreaterThanOrEqual(2);
  });

  it("hands typed errors on", async () => {
    const unlabelled = { ...request(), options: { ...request().options, negativeClass: "absent" } };
    await expect(finetuneInThread(unlabelled, () => undefined, never)).rejects.toMatchObject({
      code: "config.invalid",
      culprits: ["negative"],
    });
    const missing = { ...request(), trainDir: join(home, "nothing") };
    await expect(finetuneInThread(missing, () => undefined, never)).rejects.toMatchObject({
      code: "cache.missing",
    });
  });

  it("stops when it is told to", async () => {
    const stop = new AbortController();
    const whole: FinetuneOptions = { ...options, modes: ["finetune"] };
    const running = finetuneInThread(
      { ...request(), options: whole },
      () => {
        stop.abort();
      },
      stop.signal,
    );
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
  });
});
