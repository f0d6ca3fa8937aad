import { sha256 } from "@consilium/shared/canonical";
import { parsePlan, planHash } from "@consilium/shared/plan";
import { checkpointRecordSchema } from "@consilium/shared/protocol/round";
import { describe, expect, it } from "vitest";
import { vitConfig } from "../model/sizes.ts";
import { describeCard, modelCard, type CardSources } from "./card.ts";
import { readEvaluation } from "./evaluation.ts";

const plan = parsePlan({ federation: "chest", title: "Chest radiographs", rounds: 25 });
const hash = planHash(plan);
const checkpoint = sha256("checkpoint");
const record = checkpointRecordSchema.parse({
  federation: "chest",
  round: 12,
  sha256: checkpoint,
  planHash: hash,
  parent: sha256("parent"),
  sites: ["a", "b", "c"],
  images: 5200,
});
const estimate = { value: 0.91, low: 0.88, high: 0.94 };
const result = {
  event: "result",
  task: "classification",
  classes: ["CANARY-a", "CANARY-b"],
  labels: { images: 47, patients: 40 },
  test: { images: 624, patients: 600 },
  testSource: "cache",
  rows: [],
  summary: [
    { from: "global", mode: "finetune", seeds: 2, aurocMean: 0.9, auroc: estimate, accuracy: estimate },
  ],
};
const printed = `${JSON.stringify({ event: "progress", step: 1 })}\n${JSON.stringify(result)}\n`;

const card = (changes: Partial<CardSources> = {}) =>
  modelCard({
    config: vitConfig(plan.model),
    plan,
    checkpoint,
    record,
    licence: "CC-BY-NC-4.0",
    evaluation: readEvaluation(printed),
    ...changes,
  });

describe("a model card", () => {
  it("says how the encoder was trained, what it was tested on and where it comes from", () => {
    const text = describeCard(card(), "safetensors");
    expect(text).toMatch(/^---\nlicense: "CC-BY-NC-4.0"\n/);
    expect(text).toContain("at 3 hospitals together, in 12 rounds");
    expect(text).toContain("| images | about 5,200, of the sites in its last round |");
    expect(text).toContain("seen by nobody singly");
    expect(text).toContain("| this one | whole network | 2 | 0.910 [0.880, 0.940] | 0.910 [0.880, 0.940] |");
    for (const of of [checkpoint, record.parent, hash]) expect(text).toContain(of);
  });

  it("says on how many patients, by which factors, and where the heads are", () => {
    const text = (changes: object, signed: object = {}) =>
      describeCard(
        card({ plan: parsePlan({ ...plan, ...changes }), record: { ...record, ...signed } }),
        "safetensors",
      );
    expect(text({})).not.toMatch(/\| (patients|head|low rank) \|/);
    expect(text({}, { patients: 3100 })).toContain(
      "| patients | about 3,100; one of two sites counts twice |",
    );
    const start = { sha256: checkpoint, bytes: 10, format: "checkpoint" };
    const moved = text({ start, training: { lowRank: { rank: 4 } } });
    expect(moved).toContain(
      "| low rank | each round moved the matrices of its blocks by factors of rank 4 |",
    );
    const taught = { task: "classify", classes: ["CANARY-a", "CANARY-b"] };
    expect(text({ pretext: taught })).toContain("| head | learned by all sites together");
    expect(text({ pretext: { ...taught, head: "site" } })).toContain(
      "| head | each site kept one of its own",
    );
  });

  it("carries no class name, for one may say too much of a site", () => {
    const of = card();
    expect(JSON.stringify(of) + describeCard(of, "safetensors")).not.toContain("CANARY");
  });

  it("says plainly what is not known", () => {
    const text = describeCard(card({ record: null, licence: null, evaluation: null }), "safetensors");
    expect(text).toContain("at one hospital");
    expect(text).toContain("made from | random weights");
    expect(text).toContain("None was given with this file.");
    expect(text).toContain("Not stated.");
  });

  it("has no arguments of timm for volumes", () => {
    const config = { ...vitConfig(plan.model), volume: { depthPx: 32, patchDepthPx: 8 } };
    expect(card({ config }).timm).toBeNull();
    expect(describeCard(card({ config }), "onnx")).toContain("InferenceSession");
  });
});

describe("results of a comparison", () => {
  it("of masks and boxes stand by their names", () => {
    const { evaluation } = card({
      evaluation: readEvaluation(
        JSON.stringify({
          ...result,
          task: "segmentation",
          summary: [{ from: "scratch", mode: "finetune", seeds: 1, measures: { dice: estimate, "dice CANARY": estimate, hd95: null } }], // prettier-ignore
        }),
      ),
    });
    expect(evaluation?.rows).toEqual([
      { from: "scratch", mode: "finetune", seeds: 1, measures: { dice: estimate } },
    ]);
  });

  it("are refused if there are none", () => {
    expect(() => readEvaluation('{"event":"error"}\nnothing')).toThrow(
      expect.objectContaining({ code: "config.invalid" }) as Error,
    );
  });
});
