import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { toyPlan, writeToyCache } from "../../training/testing/toy.ts";
import { runInProcess } from "../testing/run-in-process.ts";

let home: string;
let planFile: string;

const site = (...args: readonly string[]) => runInProcess([...args, "--home", home], { userHome: home });

beforeAll(async () => {
  home = path.join(await mkdtemp(path.join(tmpdir(), "consilium-privacy-cli-")), "CANARY-home");
  await site("init", "--site", "st-mary");
  await writeToyCache(path.join(home, "caches", "train"), 64);
  planFile = path.join(home, "plan.json");
  const privacy = { unit: "patient", targetEpsilon: 3, delta: 1e-5 };
  await writeFile(planFile, JSON.stringify({ ...toyPlan({}, 10), privacy }));
});
afterAll(() => rm(path.dirname(home), { recursive: true, force: true }));

it("shows the limit and the plan before there is a cache", async () => {
  const { code, stdout } = await site("privacy", "--plan", planFile, "--cache", "later");
  expect(code).toBe(0);
  expect(stdout).toContain('in cache "later", which is not there yet');
  expect(stdout).toMatch(/ {2}limit {8}epsilon 8 at/);
  expect(stdout).toMatch(/ {2}plan {9}\S/);
});

it("shows what is spent, and what a plan would spend before anyone agrees to it", async () => {
  const nothing = await site("privacy");
  expect(nothing).toMatchObject({ code: 0, stderr: "" });
  expect(nothing.stdout).toContain('Privacy of the 64 patients in cache "train"');
  expect(nothing.stdout).toContain("spent        epsilon 0, in 0 rounds");

  const { stdout } = await site("privacy", "--plan", planFile, "--delta", "1e-5", "--json");
  expect(JSON.parse(stdout)).toMatchObject({
    event: "result",
    patients: 64,
    maxEpsilon: 8,
    delta: 1e-5,
    spentEpsilon: 0,
    forecast: { federation: "toy", rounds: 10, allowedRounds: 10 },
  });
  const { forecast } = JSON.parse(stdout) as { forecast: { epsilon: number } };
  expect(forecast.epsilon).toBeLessThanOrEqual(3);
  expect(forecast.epsilon).toBeGreaterThan(2.99);
  // At another delta the plan's own figure is told beside it.
  const other = await site("privacy", "--plan", planFile, "--delta", "1e-6");
  expect(other.stdout).toContain("limit        epsilon 8 at delta 1e-6");
  expect(other.stdout).toContain("(at the plan's own delta 1e-5, all its rounds: 3)");

  const less = await site("privacy", "--plan", planFile, "--max-epsilon", "1", "--required");
  expect(less.stdout).toContain("MORE THAN THE LIMIT of 1: training would stop after");
  expect(less.stdout).toContain("plans without privacy are refused");
  await writeFile(planFile, JSON.stringify(toyPlan()));
  expect((await site("privacy", "--plan", planFile)).stdout).toContain(
    "adds no noise. This site refuses it.",
  );
});

it("refuses what makes no sense, without showing what it was given", async () => {
  for (const args of [
    ["--max-epsilon", "0"],
    ["--delta", "0.5"],
    ["--required", "--optional"],
    ["--plan", path.join(home, "absent.json")],
  ]) {
    const { code, stderr } = await site("privacy", ...args);
    expect(code).toBe(1);
    expect(stderr).toContain("code: config.invalid");
    expect(stderr).not.toContain("CANARY");
  }
});

it("warns of the noise that a plan by site would bring, before anyone agrees to it", async () => {
  const file = path.join(home, "by-site.json");
  const privacy = { unit: "site", noiseMultiplier: 2, delta: 1e-5 };
  await writeFile(file, JSON.stringify({ ...toyPlan({}, 10), privacy }));
  const { stdout } = await site("privacy", "--plan", file);
  expect(stdout).toContain("toy protects this site as a whole, 10 rounds to come");
  expect(stdout).toMatch(
    /WARNING: with [\d,]+ weights and 3 sites the noise in the mean is \d+ times as long/,
  );
  const shown = JSON.parse((await site("privacy", "--plan", file, "--json")).stdout) as {
    forecast: { site: { weights: number; noiseOverUpdate: number } };
  };
  const { weights, noiseOverUpdate } = shown.forecast.site;
  expect(noiseOverUpdate).toBeCloseTo((2 * Math.sqrt(weights)) / 3, 6);
});
