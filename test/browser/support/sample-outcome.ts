/** What fine-tuning hands back for each task, drawn at random: for the report's page alone. */
import { Random } from "../../../site-agent/src/dataset/random.ts";
import { encoderDifferences } from "../../../site-agent/src/downstream/differences.ts";
import { evaluateRun, summarise, type Run } from "../../../site-agent/src/downstream/evaluation.ts";
import type {
  Case,
  CaseShapes,
  EncoderOrigin,
  FeatureMap,
  FinetuneOutcome,
  MeasuredResult,
} from "../../../site-agent/src/downstream/types.ts";

const ORIGINS = ["scratch", "own", "global"] as const satisfies readonly EncoderOrigin[];
const CLASSES = ["bacterial_pneumonia", "normal", "viral_pneumonia"];
const random = new Random(7);

const images = Array.from({ length: 90 }, (_, index) => ({
  index,
  patient: `patient ${index >> 1}`,
  label: CLASSES[(index >> 1) % 3] ?? "",
}));

export function classificationOutcome(): FinetuneOutcome {
  const test = { images, classes: CLASSES };
  const runs = ORIGINS.flatMap((from, skill) =>
    (["probe", "finetune"] as const).map((mode): Run => {
      const probabilities = images.flatMap(({ label }) => {
        const odds = CLASSES.map((name) => Math.exp(skill * Number(name === label) + random.normal()));
        const sum = odds.reduce((a, b) => a + b, 0);
        return odds.map((odd) => odd / sum);
      });
      const losses = mode === "probe" ? [] : Array.from({ length: 20 }, (_, i) => 1 / (1 + i));
      return {
        from,
        mode,
        seed: 1,
        labels: { images: 30, patients: 15 },
        losses,
        choice: null,
        probabilities,
      };
    }),
  );
  const evaluated = runs.map((run) => evaluateRun(run, test));
  return {
    result: {
      task: "classification",
      classes: CLASSES,
      labels: { images: 30, patients: 15 },
      test: { images: 90, patients: 45 },
      testSource: "cache",
      rows: evaluated.map(({ row }) => row),
      summary: summarise(runs, test),
      differences: encoderDifferences(runs, test),
      details: evaluated.map(({ detail }) => detail),
    },
    exemplar: {
      from: "global",
      mode: "finetune",
      model: null,
      cases: cases(() => ({
        kind: "classes",
        said: "normal",
        truth: "viral_pneumonia",
        probability: 0.2,
        saliency: {
          grid: 8,
          layers: 1,
          values: Float32Array.from({ length: 64 }, () => 2 * random.uniform() - 1),
        },
      })),
    },
    maps: mapsOf(CLASSES),
  };
}

export function shapesOutcome(task: MeasuredResult["task"]): FinetuneOutcome {
  const measures = task === "segmentation" ? ["dice", "hd95"] : ["mAP@.5", "FROC"];
  const values = Object.fromEntries(measures.map((name) => [name, { value: 0.9, low: 0.85, high: 0.95 }]));
  const rows = ORIGINS.map((from) => ({ from, mode: "finetune" as const, seed: 1, measures: values }));
  const curve = {
    name: "A curve",
    points: Array.from({ length: 50 }, (_, i) => ({ x: i / 49, y: 1 - (i / 49) ** 4 })),
  };
  return {
    result: {
      task,
      classes: ["left_lung", "right_lung"],
      labels: { images: 20, patients: 12 },
      test: { images: 90, patients: 45 },
      testSource: "split",
      measures,
      rows,
      summary: rows.map((row) => ({ ...row, seeds: 1, gain: null })),
      differences: [],
      details: rows.map((row) => ({
        ...row,
        labels: { images: 20, patients: 12 },
        curves: [curve],
        losses: [3, 2, 1],
        choice: null,
      })),
    },
    exemplar: {
      from: "global",
      mode: "finetune",
      model: null,
      cases: cases(() => (task === "segmentation" ? masks() : boxes())),
    },
    maps: mapsOf(["the worst quarter", "the others"]),
  };
}

/** Masks of volumes of 8 slices, three times as far apart as their pixels. */
export function volumesOutcome(): FinetuneOutcome {
  const outcome = shapesOutcome("segmentation");
  const { exemplar } = outcome;
  if (exemplar === null) return outcome;
  const ofVolume = (from: number) =>
    Uint8Array.from({ length: 8 * 32 ** 2 }, (_, i) => Number(i % 32 >= from));
  const shapes = {
    kind: "masks",
    classes: ["left_lung"],
    said: [ofVolume(14)],
    truth: [ofVolume(16)],
  } as const;
  const pixels = Uint8Array.from({ length: 8 * 32 ** 2 }, () => 256 * random.uniform());
  const inDepth = exemplar.cases.map((each) => ({ ...each, depthPx: 8, sliceStep: 3, pixels, shapes }));
  return { ...outcome, exemplar: { ...exemplar, cases: inDepth } };
}

const masks = (): CaseShapes => {
  const half = (from: number) => Uint8Array.from({ length: 32 * 32 }, (_, i) => Number(i % 32 >= from));
  return { kind: "masks", classes: ["left_lung"], said: [half(14)], truth: [half(16)] };
};

const boxes = (): CaseShapes => ({
  kind: "boxes",
  classes: ["left_lung"],
  said: [{ class: 0, score: 0.9, left: 3, top: 4, right: 20, bottom: 25 }],
  truth: [{ class: 0, left: 4, top: 4, right: 22, bottom: 24 }],
});

const cases = (shapes: () => CaseShapes): Case[] =>
  Array.from({ length: 6 }, (_, i) => ({
    image: i.toString(16).padStart(32, "0"),
    choice: i < 4 ? "worst" : "typical",
    goodness: i / 6,
    sizePx: 32,
    depthPx: 1,
    sliceStep: 1,
    pixels: Uint8Array.from({ length: 32 * 32 }, () => 256 * random.uniform()),
    shapes: shapes(),
  }));

const mapsOf = (groups: readonly string[]): FeatureMap[] =>
  ORIGINS.map((from) => ({
    from,
    shares: [0.4, 0.2],
    points: images.map(({ index }) => ({
      x: random.normal(),
      y: random.normal(),
      group: groups[index % groups.length] ?? "",
    })),
  }));
