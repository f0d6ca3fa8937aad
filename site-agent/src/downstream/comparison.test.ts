import { parsePlan } from "@consilium/shared/plan";
import { beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import type { Engine } from "../engine/types.ts";
import { vitConfig } from "../model/sizes.ts";
import { compareEncoders } from "./comparison.ts";
import { describeResult } from "./describe.ts";
import { finetuneOptions } from "./finetune-defaults.ts";
import { boxesAsLabels } from "./localization/kind.ts";
import { renderFinetuneReport } from "./report/page.ts";
import { masksAsLabels } from "./segmentation/kind.ts";
import { SHAPE_CLASSES, toyShapes } from "./testing/shapes.ts";
import type { FinetuneOptions, FinetuneProgress, FinetuneResult, FinetuneSettings } from "./types.ts";

const { model } = parsePlan({
  federation: "toy",
  title: "Toy",
  rounds: 1,
  model: { imagePx: 16, patchPx: 4 },
});
const config = vitConfig(model);
const sizePx = 20;
const train = toyShapes({ images: 24, sizePx, seed: 1 });
const test = toyShapes({ images: 16, sizePx, seed: 2 });
const encoders = { scratch: true, own: null, global: null };
const never = new AbortController().signal;

function optionsFor(
  task: "segmentation" | "localization",
  steps: number,
  learningRate: number,
): FinetuneOptions {
  const usual = finetuneOptions(task);
  const settings: FinetuneSettings = {
    ...usual.settings,
    batchSize: 8,
    minSteps: steps,
    maxSteps: steps,
    learningRate,
  };
  return { ...usual, seeds: 1, labels: { count: 20 }, report: true, settings };
}

const valueOf = (result: FinetuneResult, name: string): number =>
  result.task === "classification" ? NaN : (result.rows[0]?.measures[name]?.value ?? NaN);

describe("masks and boxes from end to end", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("learns masks, and draws what it said", async () => {
    const kind = masksAsLabels(train, config, "linear");
    const seen: FinetuneProgress[] = [];
    const run = (steps: number) =>
      compareEncoders(
        kind,
        { engine, model, train, test, encoders, options: optionsFor("segmentation", steps, 2e-3) },
        (progress) => {
          seen.push(progress);
        },
        never,
      );
    const before = await run(1);
    const outcome = await run(60);
    const { result, exemplar } = outcome;
    expect(seen.at(-1)).toMatchObject({
      run: 1,
      runs: 1,
      from: "scratch",
      mode: "finetune",
      step: 60,
      steps: 60,
    });
    expect(result).toMatchObject({
      task: "segmentation",
      classes: ["bright", "dark"],
      labels: { images: 20, patients: 10 },
      test: { images: 16, patients: 8 },
      measures: ["dice", "hd95"],
    });
    expect(valueOf(result, "dice")).toBeGreaterThan(0.6);
    expect(valueOf(result, "dice")).toBeGreaterThan(valueOf(before.result, "dice") + 0.2);
    expect(valueOf(result, "hd95")).toBeLessThan(valueOf(before.result, "hd95"));
    const losses = result.task === "segmentation" ? (result.details[0]?.losses ?? []) : [];
    expect(losses.at(-1)).toBeLessThan(0.6 * (losses[0] ?? NaN));

    expect(exemplar?.model?.values.length).toBeGreaterThan(0);
    const cases = exemplar?.cases ?? [];
    expect(cases.filter(({ choice }) => choice === "worst").length).toBe(8);
    expect(cases[0]?.goodness).toBeLessThanOrEqual(cases[1]?.goodness ?? 0);
    const page = renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: "test" });
    expect(page.match(/class="case"/g)).toHaveLength(cases.length);
    expect(page).toContain('<path class="truth" d="M');
    expect(page).not.toMatch(/NaN|undefined/);
  }, 120_000);

  it("learns boxes on a network that stops when patients kept back get no better", async () => {
    const kind = boxesAsLabels(sizePx, SHAPE_CLASSES, config);
    const options = { ...optionsFor("localization", 100, 2e-3), validation: 0.3 };
    const outcome = await compareEncoders(
      kind,
      { engine, model, train, test, encoders, options },
      () => undefined,
      never,
    );
    const { result } = outcome;
    expect(valueOf(result, "mAP@.5")).toBeGreaterThan(0.5);
    expect(valueOf(result, "FROC")).toBeGreaterThan(0.6);
    const page = renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: null });
    expect(page).toContain('<rect class="said"');
    expect(result.details.map(({ choice }) => choice)).toEqual(["chosen"]);
  }, 120_000);

  it("says where the patients kept back could not end the training, and trains to the end", async () => {
    const kind = {
      ...boxesAsLabels(sizePx, SHAPE_CLASSES, config),
      statistics: () => ({ "mAP@.5": () => null }),
    };
    const options = { ...optionsFor("localization", 20, 2e-3), validation: 0.3 };
    const task = { engine, model, train, test, encoders, options };
    const outcome = await compareEncoders(kind, task, () => undefined, never);
    expect(outcome.result.details.map(({ choice }) => choice)).toEqual(["unscored"]);
    const said =
      "In 1 of 1 trainings no labels could be kept back, or they could not say which weights were good";
    expect(describeResult(outcome.result)).toContain(said);
    expect(renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: null })).toContain(said);
  }, 120_000);

  it("leaves the encoder as it was in a probe", async () => {
    const kind = boxesAsLabels(sizePx, SHAPE_CLASSES, config);
    const options: FinetuneOptions = { ...optionsFor("localization", 3, 1e-2), modes: ["probe"] };
    const values = async (steps: number) => {
      const settings = { ...options.settings, minSteps: steps, maxSteps: steps };
      const { exemplar } = await compareEncoders(
        kind,
        { engine, model, train, test: null, encoders, options: { ...options, settings } },
        () => undefined,
        never,
      );
      return exemplar?.model;
    };
    const [short, long] = [await values(1), await values(3)];
    const head = kind.headParameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const encoder = (short?.values.length ?? 0) - head;
    expect(long?.values.slice(0, encoder)).toEqual(short?.values.slice(0, encoder));
    expect(long?.values.slice(encoder)).not.toEqual(short?.values.slice(encoder));
  }, 120_000);

  it("refuses sets without labels", async () => {
    const kind = boxesAsLabels(sizePx, SHAPE_CLASSES, config);
    const unlabelled = { ...train, boxes: new Map(), known: new Map() };
    const task = {
      engine,
      model,
      train: unlabelled,
      test,
      encoders,
      options: optionsFor("localization", 1, 1e-3),
    };
    await expect(compareEncoders(kind, task, () => undefined, never)).rejects.toMatchObject({
      code: "labels.unmatched",
    });
  });
});
