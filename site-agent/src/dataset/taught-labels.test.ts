import { parsePlan } from "@consilium/shared/plan";
import { describe, expect, it } from "vitest";
import { toyShapes } from "../downstream/testing/shapes.ts";
import type { Findings } from "./findings.ts";
import { labelledParts, trainingImages } from "./training-images.ts";
import type { SiteLabels } from "./taught-labels.ts";

const terms = { federation: "toy", title: "Toy", rounds: 1 };
const SHAPES = toyShapes({ images: 24, sizePx: 8, seed: 1 });
const { cache, masks } = SHAPES;
const NONE: SiteLabels = { labels: new Map() };

const planOf = (pretext: object) => parsePlan({ ...terms, pretext });
const allOf = ({ records }: { readonly records: readonly unknown[] }) => [...records.keys()];

describe("findings as answers", () => {
  const classes = ["effusion", "nodule"];
  /** Of every third image nobody said of the effusion, and of every fourth of neither. */
  const FINDINGS: Findings = new Map(
    cache.records.flatMap(({ image }, i) =>
      i % 4 === 3
        ? []
        : [
            [
              image,
              {
                present: i % 2 === 0 ? ["nodule"] : [],
                unknown: i % 3 === 0 ? ["effusion"] : [],
              },
            ] as const,
          ],
    ),
  );
  const labels = { ...NONE, findings: FINDINGS };

  it("have no weight where they are not known, and the same for each finding together where they are balanced", () => {
    const images = trainingImages(cache, planOf({ task: "findings", classes }), labels);
    const answers = images.answers?.(allOf(images));
    if (answers?.kind !== "findings") throw new Error("findings are learned");
    const { present, weights } = answers;
    for (const [i, { image }] of images.records.entries()) {
      const own = FINDINGS.get(image);
      for (const [c, name] of classes.entries()) {
        const at = 2 * i + c;
        expect(present[at]).toBe(Number(own?.present.includes(name)));
        expect(weights[at] === 0).toBe(own?.unknown.includes(name));
      }
    }
    // Nobody has an effusion: its one side weighs as much as both of the other finding.
    for (const c of [0, 1]) {
      const sum = weights.reduce((total, weight, at) => total + (at % 2 === c ? weight : 0), 0);
      expect(sum).toBeCloseTo(images.records.length, 3);
    }
  });

  it("weigh 1 each without balance", () => {
    const plan = planOf({ task: "findings", classes, balanceClasses: false });
    const images = trainingImages(cache, plan, labels);
    const answers = images.answers?.(allOf(images));
    expect(new Set(answers?.weights)).toEqual(new Set([0, 1]));
  });

  it("are none of images that know of no finding of the plan", () => {
    const { taught, tested } = labelledParts(cache, labels, { task: "findings", classes, testShare: 0.3 });
    expect(taught.length + tested.length).toBe(18);
    for (const unknown of [
      { task: "findings", classes: ["other"] },
      { task: "masks", classes },
    ]) {
      expect(() => trainingImages(cache, planOf(unknown), labels)).toThrow(
        expect.objectContaining({ code: "labels.not-of-plan" }) as Error,
      );
    }
  });
});

describe("masks as answers", () => {
  it("are those of the plan's classes in its order, each with its own image, and of no weight where a site has none", () => {
    const plan = planOf({ task: "masks", classes: ["dark", "other", "bright"] });
    const images = trainingImages(cache, plan, { ...NONE, masks });
    const answers = images.answers?.([1, 0]);
    if (answers?.kind !== "masks") throw new Error("masks are learned");
    expect([...answers.weights]).toEqual([1, 0, 1, 1, 0, 1]);
    const first = images.records[0]?.image ?? "";
    const partly = { ...masks, known: new Map(masks.known).set(first, new Set(["dark"])) };
    const unsaid = trainingImages(cache, plan, { ...NONE, masks: partly }).answers?.([1, 0]);
    expect([...(unsaid?.weights ?? [])]).toEqual([1, 0, 1, 1, 0, 0]);
    const area = cache.sizePx ** 2;
    for (const [at, i] of [1, 0].entries()) {
      const own = new Uint8Array(2 * area);
      masks.read(images.records[i]?.image ?? "", own);
      const plane = (c: number) =>
        answers.coverage.slice(at * 3 * area, (at + 1) * 3 * area).filter((_, place) => place % 3 === c);
      expect([plane(0), plane(1), plane(2)]).toEqual([
        own.slice(area),
        new Uint8Array(area),
        own.slice(0, area),
      ]);
    }
  });
});
