import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeFindings } from "../dataset/findings.ts";
import { writeLabels } from "../dataset/labels.ts";
import { MaskWriter } from "../dataset/masks-writer.ts";
import { planText } from "../governance/plan-text.ts";
import { TOY_CACHE_PX, toyRecord, writeToyCache } from "../training/testing/toy.ts";
import { sayTaught } from "./taught-report.ts";

const classes = ["normal", "pneumonia"];
const terms = { federation: "lungs", title: "Lungs", rounds: 3 };
const PLAN = parsePlan({
  ...terms,
  pretext: { task: "classify", classes },
  health: { evaluation: { classes } },
});

let cacheDir: string;
beforeAll(async () => {
  cacheDir = await mkdtemp(path.join(tmpdir(), "consilium-taught-"));
  await writeToyCache(cacheDir, 80);
});
afterAll(() => rm(cacheDir, { recursive: true }));

async function said(labelOf: (i: number) => string, plan = PLAN) {
  await writeLabels(
    cacheDir,
    new Map(Array.from({ length: 80 }, (_, i) => [toyRecord(i).image, labelOf(i)])),
  );
  const events: { data: Readonly<Record<string, unknown>>; text: string }[] = [];
  await sayTaught(plan, cacheDir, { event: (_, data, text) => void events.push({ data, text }) });
  return events;
}

it("tells a site what it teaches, whom it is tested on, and what leaves of that", async () => {
  const [event] = await said((i) => (i % 2 === 0 ? "normal" : "pneumonia"));
  expect(event?.data).toMatchObject({ classes, isScored: true });
  expect(event?.text).toContain("kept to test on");
  expect(event?.text).toContain("masked sum alone");
  expect(await said(() => "normal", parsePlan(terms))).toEqual([]);
});

it("says which class is missing, and has no part for a site without any", async () => {
  const [event] = await said(() => "normal");
  expect(event?.text).toContain("a class is missing here");
  await expect(said(() => "other")).rejects.toMatchObject({ code: "labels.not-of-plan" });
});

it("tells a site of findings and of masks how many images show them", async () => {
  const record = (i: number) => toyRecord(i).image;
  const shown = Array.from({ length: 80 }, (_, i) => ({
    present: i % 4 === 0 ? ["nodule"] : [],
    unknown: [],
  }));
  await writeFindings(cacheDir, new Map(shown.map((own, i) => [record(i), own])));
  const writer = new MaskWriter(cacheDir, ["lung"], { sizePx: TOY_CACHE_PX, depthPx: 1 });
  const full = new Uint8Array(TOY_CACHE_PX ** 2).fill(255);
  for (let i = 0; i < 60; i++) await writer.append(record(i), full);
  await writer.finish();
  const planOf = (task: string, names: readonly string[]) =>
    parsePlan({ ...terms, pretext: { task, classes: names }, health: { [task]: { classes: names } } });

  const [found] = await said(() => "other", planOf("findings", ["nodule", "effusion"]));
  const { taught = [] } = found?.data as { taught?: readonly number[] };
  expect(taught[0]).toBeGreaterThan(5);
  expect(taught[1]).toBe(0);
  expect(found?.text).toContain("images that show nodule");
  const [marked] = await said(() => "other", planOf("masks", ["lung"]));
  expect(marked?.data).toMatchObject({ isScored: true });
  expect(marked?.text).toContain("how much of their masks is found leaves in the masked sum alone");
  expect(planText(planOf("masks", ["lung"]))).toContain("from the sites' masks where an image shows lung");
});

it("is in the plan that a person approves", () => {
  expect(planText(PLAN)).toContain(
    "from the sites' labels to tell apart normal, pneumonia. No label leaves a site",
  );
  expect(planText(parsePlan(terms))).toContain("No label is used. (mae)");
});
