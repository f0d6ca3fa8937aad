/** What a taught head says of findings and masks at a site; of classes see test/e2e/taught.test.ts. */
import { total } from "@consilium/shared/evaluation/auroc";
import { MASK_GRID } from "@consilium/shared/evaluation/mask-extras";
import { parsePlan, type Plan } from "@consilium/shared/plan";
import { beforeAll, describe, expect, it } from "vitest";
import type { Findings } from "../dataset/findings.ts";
import { labelledParts } from "../dataset/training-images.ts";
import type { TaughtPlan } from "../dataset/taught-labels.ts";
import { maskCells } from "../downstream/mask-probe.ts";
import { toyShapes } from "../downstream/testing/shapes.ts";
import { createEngine } from "../engine/engine.ts";
import type { Engine } from "../engine/types.ts";
import { pretextTask } from "../pretext/index.ts";
import { HeadCheck } from "./head-check.ts";

const { cache, masks } = toyShapes({ images: 120, sizePx: 16, seed: 1 });
const never = new AbortController().signal;
const classes = ["bright", "dark"];
const planOf = (task: string, section: string): Plan =>
  parsePlan({
    federation: "toy",
    title: "Toy",
    rounds: 1,
    cachePx: 16,
    model: { imagePx: 16, patchPx: 8 },
    pretext: { task, classes },
    health: { [section]: { classes } },
  });

/** With another bias of the head. */
function weightsOf(plan: Plan, bias: number): Float32Array {
  const task = pretextTask(plan);
  const weights = task.initialWeights(1);
  const last = task.parameters.at(-1)?.shape[0] ?? 0;
  return weights.fill(bias, weights.length - last);
}

describe("a head that the federation teaches", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine({ threads: 1, device: "cpu" });
  });

  it("is scored on the findings that are known of test patients, each by itself", async () => {
    const plan = planOf("findings", "findings");
    const check = await HeadCheck.compile(engine, plan);
    const findings: Findings = new Map(
      cache.records.map(({ image }, i) => [
        image,
        { present: i % 5 === 0 ? ["bright"] : [], unknown: i % 3 === 0 ? ["dark"] : [] },
      ]),
    );
    const asked = { cache, labels: new Map<string, string>(), findings, signal: never };
    const { tested } = labelledParts(cache, asked, plan.pretext as TaughtPlan);
    const known = tested.filter(({ index }) => index % 3 !== 0).length;
    const [bright, dark] = (await check?.scores(weightsOf(plan, 2), asked)) ?? [];
    const there = tested.filter(({ index }) => index % 5 === 0).length;
    expect(bright && [total(bright.positives), total(bright.negatives)]).toEqual([
      there,
      tested.length - there,
    ]);
    expect(dark && [total(dark.positives), total(dark.negatives)]).toEqual([0, known]);
    expect(await check?.overlaps(weightsOf(plan, 2), asked)).toBeNull();
    const few = { ...asked, findings: new Map([...findings].slice(0, 20)) };
    expect(await check?.scores(weightsOf(plan, 2), few)).toBeNull();
    await check?.dispose();
  });

  it("is met by the masks of test patients, cell by cell", async () => {
    const plan = planOf("masks", "masks");
    const check = await HeadCheck.compile(engine, plan);
    const asked = { cache, labels: new Map<string, string>(), masks, signal: never };
    const { tested } = labelledParts(cache, asked, plan.pretext as TaughtPlan);
    const marked = classes.map((_, c) =>
      tested.reduce((sum, { index }) => {
        const both = new Uint8Array(2 * 256);
        masks.read(cache.records[index]?.image ?? "", both);
        const cells = maskCells(both.subarray(c * 256, (c + 1) * 256), MASK_GRID);
        return sum + cells.reduce((inside, cell) => inside + cell, 0);
      }, 0),
    );
    const all = tested.length * MASK_GRID ** 2;
    const everywhere = await check?.overlaps(weightsOf(plan, 5), asked);
    expect(everywhere?.images).toBe(tested.length);
    expect([...(everywhere?.intersections ?? [])]).toEqual(marked);
    expect([...(everywhere?.sizes ?? [])]).toEqual(marked.map((cells) => all + cells));
    const nowhere = await check?.overlaps(weightsOf(plan, -5), asked);
    expect([...(nowhere?.intersections ?? [])]).toEqual([0, 0]);
    expect(await check?.scores(weightsOf(plan, 5), asked)).toBeNull();
    const without = { ...asked, masks: { ...masks, classes: ["bright", "other"] } };
    expect(await check?.overlaps(weightsOf(plan, 5), without)).toBeNull();
    await check?.dispose();
  });
});
