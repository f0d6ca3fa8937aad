import { expect, describe, it } from "vitest";
import { checkGradients } from "../engine/testing/finite-differences.ts";
import { tensorViews } from "@consilium/shared/vector";
import { manifestOf } from "../model/manifest.ts";
import type { VitConfig } from "../model/sizes.ts";
import { encoderParameters } from "./layers.ts";
import { mayFlip } from "./label-kind.ts";
import { findingsAsLabels } from "./findings/kind.ts";
import { boxesAsLabels } from "./localization/kind.ts";
import { masksAsLabels } from "./segmentation/kind.ts";
import { segmentationParameters } from "./segmentation/network.ts";
import { SHAPE_CLASSES, toyShapes } from "./testing/shapes.ts";

const config: VitConfig = { imagePx: 8, patchPx: 4, channels: 1, width: 8, depth: 2, heads: 2 };
const sizePx = 10;
const set = toyShapes({ images: 2, sizePx, seed: 1 });
/** Of the first image nobody looked for the dark rectangle. */
const halfKnown = new Map(set.known).set(set.cache.records[0]?.image ?? "", new Set(["bright"]));
const partly = { ...set, masks: { ...set.masks, known: halfKnown }, known: halfKnown };
const crops = [
  { top: 1, left: 0.5, height: 8, width: 9, flip: true },
  { top: 0, left: 1, height: 9, width: 8, flip: false },
];
const optimizer = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1 };

describe("the heads have the gradients that float64 finite differences give", () => {
  for (const head of ["linear", "unetr"] as const) {
    it(`masks, ${head}, of which one is not known`, () => {
      // Convolutions take long in the interpreter.
      const small = head === "unetr" ? { ...config, imagePx: 4, width: 4 } : config;
      const kind = masksAsLabels(set, small, head);
      const parameters = [...encoderParameters(small, 1), ...kind.headParameters];
      const batch = kind.batches(partly, kind.labelled(partly))(kind.labelled(partly), crops);
      const definition = kind.trainStep(2, parameters, optimizer);
      const { largest, relativeError } = checkGradients(definition, batch, {
        samples: 24,
        spread: 0.3,
        seed: 3,
      });
      expect(largest).toBeGreaterThan(1e-4);
      expect(relativeError).toBeLessThan(1e-5);
    });
  }

  it("boxes, of which some are not known", () => {
    const kind = boxesAsLabels(sizePx, SHAPE_CLASSES, config);
    const parameters = [...encoderParameters(config, 1), ...kind.headParameters];
    const batch = kind.batches(partly, kind.labelled(partly))(kind.labelled(partly), crops);
    const definition = kind.trainStep(2, parameters, optimizer);
    const { largest, relativeError } = checkGradients(definition, batch, {
      samples: 30,
      spread: 0.3,
      seed: 4,
    });
    expect(largest).toBeGreaterThan(1e-3);
    expect(relativeError).toBeLessThan(1e-5);
  });

  it("findings, of which some are not known", () => {
    const findings = new Map(
      set.cache.records.map(({ image }, i) => [
        image,
        { present: i % 2 === 0 ? ["a"] : ["b"], unknown: i % 3 === 1 ? ["a"] : [] },
      ]),
    );
    const labelled = { cache: set.cache, findings };
    const kind = findingsAsLabels(labelled, config, { balanceClasses: true, labelSmoothing: 0.1 });
    const parameters = [...encoderParameters(config, 1), ...kind.headParameters];
    const images = kind.labelled(labelled);
    const batch = kind.batches(labelled, images)(images, crops);
    const definition = kind.trainStep(2, parameters, optimizer);
    const { largest, relativeError } = checkGradients(definition, batch, {
      samples: 24,
      spread: 0.3,
      seed: 5,
    });
    expect(largest).toBeGreaterThan(1e-4);
    expect(relativeError).toBeLessThan(1e-5);
  });
});

describe("what nobody looked for", () => {
  const [image] = masksAsLabels(partly, config, "linear").labelled(partly);
  if (image === undefined) throw new Error("the images have labels");
  const dark = SHAPE_CLASSES.indexOf("dark");

  it("is neither right nor wrong of masks, and not drawn", () => {
    const kind = masksAsLabels(partly, config, "linear");
    const probabilities = new Float32Array(sizePx ** 2 * SHAPE_CLASSES.length).fill(1);
    const judged = kind.judge(partly, image, { probabilities });
    expect(judged.dice.map((value) => value === null)).toEqual(SHAPE_CLASSES.map((_, c) => c === dark));
    expect(judged.hd95[dark]).toBeNull();
    const shapes = kind.shapes(partly, image, { probabilities }, null);
    expect(shapes.kind === "masks" && shapes.said[dark]?.some((value) => value > 0)).toBe(false);
  });

  it("is neither right nor wrong of boxes", () => {
    const kind = boxesAsLabels(sizePx, SHAPE_CLASSES, config);
    const scores = new Float32Array(4 * SHAPE_CLASSES.length).fill(0.9);
    const boxes = Float32Array.from([0, 0, 4, 4, 4, 0, 8, 4, 0, 4, 4, 8, 4, 4, 8, 8]);
    const { detections } = kind.judge(partly, image, { scores, boxes });
    expect(new Set(detections.map((detection) => detection.class))).toEqual(
      new Set(SHAPE_CLASSES.map((_, c) => c).filter((c) => c !== dark)),
    );
  });
});

describe("a head", () => {
  it("has the weights that its shapes say, and starts the same for the same seed", () => {
    for (const head of ["linear", "unetr"] as const) {
      const kind = masksAsLabels(set, { ...config, patchPx: 8, imagePx: 16 }, head);
      const start = kind.initialHead(1);
      expect(tensorViews(manifestOf(kind.headParameters), start).size).toBe(kind.headParameters.length);
      expect(kind.initialHead(1)).toEqual(start);
      expect(kind.initialHead(2)).not.toEqual(start);
    }
    expect(() => segmentationParameters({ ...config, patchPx: 6 }, "unetr", 1)).toThrow("unetr");
  });

  it("leaves images as they are where a class names a side", () => {
    expect(mayFlip(["lungs", "heart"])).toBe(true);
    expect(mayFlip(["bright", "leftover"])).toBe(true);
    for (const name of ["left_lung", "Right kidney", "lung-L", "ear right"])
      expect(mayFlip([name])).toBe(false);
  });
});
