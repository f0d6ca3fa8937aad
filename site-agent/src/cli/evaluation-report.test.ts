import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { afterEach, beforeEach, expect, it } from "vitest";
import { writeLabels } from "../dataset/labels.ts";
import { MaskWriter } from "../dataset/masks-writer.ts";
import { planText } from "../governance/plan-text.ts";
import { toyRecord } from "../training/testing/toy.ts";
import { sayEvaluation } from "./evaluation-report.ts";

const terms = { federation: "lungs", title: "Lungs", rounds: 3 };
const PLAN = parsePlan({ ...terms, health: { evaluation: { classes: ["normal", "pneumonia"] } } });

let cacheDir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), "consilium-evaluation-"));
});
afterEach(() => rm(cacheDir, { recursive: true }));

async function said(plan = PLAN) {
  const events: { data: Readonly<Record<string, unknown>>; text: string }[] = [];
  await sayEvaluation(plan, cacheDir, { event: (_, data, text) => void events.push({ data, text }) });
  return events;
}

const label = (of: (i: number) => string) =>
  writeLabels(cacheDir, new Map(Array.from({ length: 40 }, (_, i) => [toyRecord(i).image, of(i)])));

async function writeMasks(count: number): Promise<void> {
  const writer = new MaskWriter(cacheDir, ["lung"], { sizePx: 4, depthPx: 1 });
  for (let i = 0; i < count; i++) await writer.append(toyRecord(i).image, new Uint8Array(16).fill(255));
  await writer.finish();
}

it("tells a site without labels, or without a class, that training goes on and how to add them", async () => {
  for (const labels of [null, () => "normal", (i: number) => (i === 0 ? "pneumonia" : "other")]) {
    if (labels !== null) await label(labels);
    const [event] = await said();
    expect(event?.data).toMatchObject({ takesPart: false });
    expect(event?.text).toContain("consilium-site label");
  }
});

it("tells a site with labels what leaves, and nobody anything where the plan does not ask", async () => {
  await label((i) => (i % 2 === 0 ? "normal" : "pneumonia"));
  const [event] = await said();
  expect(event?.data).toEqual({ classes: ["normal", "pneumonia"], images: [20, 20], takesPart: true });
  expect(event?.text).toContain("masked sum alone");
  expect(await said(parsePlan(terms))).toEqual([]);
});

it("of masks tells a site whether it takes part, and what leaves", async () => {
  const asked = parsePlan({ ...terms, health: { masks: { classes: ["lung"] } } });
  const [none] = await said(asked);
  expect(none?.data).toEqual({ classes: ["lung"], images: 0, takesPart: false });
  expect(none?.text).toContain("consilium-site label");
  await writeMasks(16);
  const [some] = await said(asked);
  expect(some?.data).toMatchObject({ images: 16, takesPart: true });
  expect(some?.text).toContain("masked sum alone");
  expect(planText(asked)).toContain("the site has masks of lung");
});

it("is in the plan that a person approves", () => {
  expect(planText(PLAN)).toContain("the site has labels normal, pneumonia");
  expect(planText(parsePlan(terms))).not.toContain("AUROC");
});
