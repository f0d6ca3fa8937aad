import { vectorLength } from "@consilium/shared/manifest";
import { parsePlan } from "@consilium/shared/plan";
import { beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../engine/engine.ts";
import { checkGradients } from "../engine/testing/finite-differences.ts";
import type { Engine } from "../engine/types.ts";
import { vitConfig, type VitConfig } from "../model/sizes.ts";
import { compareEncoders } from "./comparison.ts";
import { finetuneOptions } from "./finetune-defaults.ts";
import { finetune } from "./finetune.ts";
import { encoderParameters } from "./layers.ts";
import { boxesAsLabels } from "./localization/kind.ts";
import { findingsAsLabels } from "./findings/kind.ts";
import { renderFinetuneReport } from "./report/page.ts";
import { masksAsLabels } from "./segmentation/kind.ts";
import { toyVolumes } from "./testing/toy-volumes.ts";
import type { DownstreamTask, FinetuneOptions } from "./types.ts";
import { viewArrays, wholeImages } from "./views.ts";

const shape = { sizePx: 12, depthPx: 6 };
const { model, volume } = parsePlan({
  federation: "toy",
  title: "Toy",
  rounds: 1,
  volume: { depthPx: shape.depthPx, sliceSpacingMm: 5, pixelSpacingMm: 2.5 },
  model: { dimensions: 3, imagePx: 16, patchPx: 8, depthPx: 8, patchDepthPx: 4 },
});
const train = toyVolumes({ ...shape, volumes: 16, seed: 1 });
const test = toyVolumes({ ...shape, volumes: 8, seed: 2 });
const encoders = { scratch: true, own: null, global: null };
const never = new AbortController().signal;

function optionsFor(task: DownstreamTask, steps: number, learningRate: number): FinetuneOptions {
  const usual = finetuneOptions(task, 3);
  const settings = { ...usual.settings, batchSize: 4, minSteps: steps, maxSteps: steps, learningRate };
  return { ...usual, seeds: 1, report: true, settings };
}

describe("volumes from end to end", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("are told apart by a head on the frozen encoder and by the whole network, and drawn in three planes", async () => {
    const options = optionsFor("classification", 16, 2e-3);
    const task = { engine, model, volume, train, test, encoders, options };
    const outcome = await finetune(task, () => undefined, never);
    const { result, exemplar } = outcome;
    expect(result.classes).toEqual(["lower", "upper"]);
    expect(result.summary.map(({ mode }) => mode)).toEqual(["probe", "finetune"]);
    expect(result.summary[1]?.auroc.value).toBeGreaterThan(0.9);
    const page = renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: "test" });
    // Three planes, and what moved the network.
    expect(page.match(/class="case"/g)).toHaveLength(4 * (exemplar?.cases.length ?? NaN));
    expect(page).toContain("worst case 1, coronal");
    const released = { ...options, modes: ["released"], releasedClasses: result.classes } as const;
    const global = exemplar?.model ?? null;
    const asked = { ...task, encoders: { scratch: false, own: null, global }, options: released };
    const again = await finetune(asked, () => undefined, never);
    expect(again.result.summary[0]?.auroc).toEqual(result.summary[1]?.auroc);
    expect(page.replaceAll(/base64,[^"]+/g, "")).not.toMatch(/NaN|undefined/);
  });

  it("show findings", async () => {
    const options = { ...optionsFor("findings", 8, 2e-3), report: false };
    const findings = (set: typeof train) => ({
      cache: set.cache,
      findings: new Map(
        [...set.labels].map(([image, label]) => [
          image,
          { present: label === "upper" ? ["high"] : [], unknown: [] },
        ]),
      ),
    });
    const sets = { train: findings(train), test: findings(test) };
    const kind = findingsAsLabels(sets.train, vitConfig(model), options.settings);
    const task = { engine, model, volume, ...sets, encoders, options };
    const { result } = await compareEncoders(kind, task, () => undefined, never);
    expect(result.task === "findings" && result.rows[0]?.measures["auroc"]?.value).toBeGreaterThan(0.8);
  });

  it.each(["linear", "unetr"] as const)(
    "learn masks with the %s head, and measure them in millimetres",
    async (head) => {
      const options = optionsFor("segmentation", head === "linear" ? 45 : 25, 3e-3);
      const kind = masksAsLabels(train, vitConfig(model), head, volume);
      const task = { engine, model, volume, train, test, encoders, options };
      const outcome = await compareEncoders(kind, task, () => undefined, never);
      const { result, exemplar } = outcome;
      const measures = result.task === "segmentation" ? result.rows[0]?.measures : undefined;
      expect(measures?.["dice"]?.value).toBeGreaterThan(0.7);
      expect(measures?.["hd95_mm"]?.value).toBeLessThan(10);
      if (head === "linear") {
        // The same network as a federation's, whose head stayed at this site.
        const { manifest, values } = exemplar?.model ?? {
          manifest: { tensors: [] },
          values: new Float32Array(),
        };
        const ofEncoder = manifest.tensors.slice(0, encoderParameters(vitConfig(model), 1).length);
        const length = vectorLength({ tensors: ofEncoder });
        const global = { manifest: { tensors: ofEncoder }, values: values.slice(0, length) };
        const own = { scratch: false, own: null, global, head: values.slice(length) };
        const released = {
          ...options,
          modes: ["released"] as const,
          releasedClasses: kind.classes,
          report: false,
        };
        const asking = { ...task, encoders: own, options: released };
        const again = await compareEncoders(kind, asking, () => undefined, never);
        const rows = again.result.task === "segmentation" ? again.result.rows : [];
        expect(rows[0]).toMatchObject({ from: "global", mode: "released", measures });
      }
      const page = renderFinetuneReport(outcome, { site: "st-mary", train: "train", test: "test" });
      expect(page.match(/class="case"/g)).toHaveLength(3 * (exemplar?.cases.length ?? NaN));
      expect(page).toContain('<path class="truth" d="M');
      expect(page.replaceAll(/base64,[^"]+/g, "")).not.toMatch(/NaN|undefined/);
    },
  );

  it("have no boxes, and are not taken for images", async () => {
    expect(() => boxesAsLabels(shape.sizePx, ["ball"], vitConfig(model))).toThrow(
      expect.objectContaining({ code: "model.of-volumes" }) as Error,
    );
    const flat = toyVolumes({ ...shape, depthPx: 1, volumes: 16, seed: 3 });
    const options = optionsFor("classification", 1, 1e-3);
    const task = { engine, model, volume, train: flat, test, encoders, options };
    await expect(finetune(task, () => undefined, never)).rejects.toMatchObject({ code: "cache.wrong-size" });
    const other = toyVolumes({ ...shape, depthPx: 8, volumes: 16, seed: 3 });
    await expect(finetune({ ...task, train, test: other }, () => undefined, never)).rejects.toMatchObject({
      code: "config.invalid",
      culprits: ["test"],
    });
  });
});

describe("the heads for masks of volumes", () => {
  const config: VitConfig = {
    imagePx: 4,
    patchPx: 4,
    channels: 1,
    volume: { depthPx: 2, patchDepthPx: 2 },
    width: 4,
    depth: 2,
    heads: 2,
  };
  const small = toyVolumes({ sizePx: 5, depthPx: 3, volumes: 2, seed: 4 });
  const optimizer = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipGlobalNorm: 1 };

  it.each(["linear", "unetr"] as const)("have the gradients that finite differences give: %s", (head) => {
    const kind = masksAsLabels(small, config, head, volume);
    const images = kind.labelled(small);
    const whole = wholeImages(small.cache, 2);
    const crops = whole.map((crop, i) => ({
      ...crop,
      front: 0.5,
      depth: 2,
      top: i,
      height: 4,
      flip: i === 1,
    }));
    const parameters = [...encoderParameters(config, 1), ...kind.headParameters];
    const definition = kind.trainStep(2, parameters, optimizer);
    const batch = kind.batches(small, images)(images, crops);
    const { largest, relativeError } = checkGradients(definition, batch, {
      samples: head === "unetr" ? 10 : 18,
      spread: 0.3,
      seed: 3,
    });
    expect(largest).toBeGreaterThan(1e-4);
    expect(relativeError).toBeLessThan(1e-5);
  });

  it("lay each voxel of a patch where it belongs", async () => {
    // All weights are 0 but the linear head's bias, which has a value for each voxel of a patch.
    const patched: VitConfig = { ...config, imagePx: 8, volume: { depthPx: 4, patchDepthPx: 2 } };
    const cached = { sizePx: 8, depthPx: 4 };
    const set = toyVolumes({ ...cached, volumes: 1, seed: 5 });
    const kind = masksAsLabels(set, patched, "linear", volume);
    const engine = await createEngine({ threads: 1, device: "cpu" });
    const parameters = [...encoderParameters(patched, 1), ...kind.headParameters];
    const inference = await engine.compileInference(kind.inference(1, parameters));
    const places = 2 * 4 * 4;
    const weights = parameters.flatMap(({ name, shape: own }) => {
      const length = own.reduce((a, b) => a * b, 1);
      return name === "head.bias"
        ? Array.from({ length: places }, (_, i) => i / places)
        : new Array<number>(length).fill(0);
    });
    await inference.writeWeights(Float32Array.from(weights));
    const volumes = new Uint8Array(4 * 64).map((_, i) => i % 251);
    const { probabilities = new Float32Array() } = await inference.run(
      viewArrays(patched, cached, volumes, wholeImages(cached, 1)),
    );
    await inference.dispose();
    const ramp = (z: number, y: number, x: number): number =>
      (((z % 2) * 4 + (y % 4)) * 4 + (x % 4)) / places;
    for (let voxel = 0; voxel < 4 * 64; voxel++) {
      const [z, y, x] = [Math.floor(voxel / 64), Math.floor(voxel / 8) % 8, voxel % 8];
      // The mean with the mirror image.
      const said = [ramp(z, y, x), ramp(z, y, 7 - x)].map((logit) => 1 / (1 + Math.exp(-logit)));
      expect(probabilities[voxel]).toBeCloseTo(((said[0] ?? 0) + (said[1] ?? 0)) / 2, 5);
    }
  });

  it("refuse patches that cannot be halved", () => {
    const kind = (patchDepthPx: number) => () =>
      masksAsLabels(small, { ...config, volume: { depthPx: 24, patchDepthPx } }, "unetr", volume);
    expect(kind(3)).toThrow("unetr");
    expect(kind(8)).toThrow("unetr");
  });
});
