import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parsePlan } from "@consilium/shared/plan";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeLabels } from "../dataset/labels.ts";
import { planText } from "../governance/plan-text.ts";
import { toyRecord, writeToyCache } from "../training/testing/toy.ts";
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

it("is in the plan that a person approves", () => {
  expect(planText(PLAN)).toContain(
    "from this site's labels to tell apart normal, pneumonia; the labels stay here",
  );
  expect(planText(parsePlan(terms))).toContain("mae, without labels");
});
