import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Plan } from "@consilium/shared/plan";
import { parsePlan } from "@consilium/shared/plan";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { toyPlan, writeToyCache } from "../training/testing/toy.ts";
import { privacyGuard, type PrivacyGuard } from "./guard.ts";
import { privacyLedger, spentBySite, spentOn } from "./ledger.ts";
import { DEFAULT_POLICY, readPrivacyPolicy, writePrivacyPolicy, type PrivacyPolicy } from "./policy.ts";
import { describeStatement, statement } from "./statement.ts";

const PATIENTS = 64;

let folder: string;
let ledgerFile: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "consilium-privacy-"));
  ledgerFile = path.join(folder, "privacy-ledger.jsonl");
  await writeToyCache(path.join(folder, "train"), PATIENTS);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const PRIVATE = parsePlan({
  ...toyPlan({}, 20),
  privacy: { unit: "patient", noiseMultiplier: 2, clipL2Norm: 0.5, delta: 1e-5 },
});

function guard(policy: Partial<PrivacyPolicy> = {}, plan: Plan = PRIVATE, cohort = "train"): PrivacyGuard {
  return privacyGuard(
    {
      ledger: privacyLedger(ledgerFile),
      policy: () => Promise.resolve({ ...DEFAULT_POLICY, delta: 1e-5, ...policy }),
      nowMs: () => 0,
    },
    { plan, cohort, cacheDir: path.join(folder, "train") },
  );
}

const payments = () => privacyLedger(ledgerFile).payments();

describe("the guard before training", () => {
  it("writes what a round spends before it says how to train", async () => {
    const terms = await guard().pay(3, 2);
    expect(terms).toEqual({
      patients: PATIENTS,
      sampleRate: 8 / PATIENTS,
      expectedExamples: 8,
      clipL2Norm: 0.5,
      noiseMultiplier: 2,
      stepsPerRound: 8,
    });
    expect(await payments()).toEqual([
      {
        at: "1970-01-01T00:00:00.000Z",
        federation: "toy",
        cohort: "train",
        round: 3,
        attempt: 2,
        patients: PATIENTS,
        sampleRate: 8 / PATIENTS,
        noiseMultiplier: 2,
        steps: 8,
        clipL2Norm: 0.5,
      },
    ]);
  });

  it("stops at the site's limit, as its statement foretold, and writes nothing then", async () => {
    const policy = { ...DEFAULT_POLICY, maxEpsilon: 4, delta: 1e-5 };
    const foretold = statement({
      cohort: "train",
      patients: PATIENTS,
      policy,
      payments: [],
      plan: PRIVATE,
      weights: 0,
    });
    const allowed = foretold.forecast?.allowedRounds ?? NaN;
    expect(allowed).toBeGreaterThan(2);
    expect(allowed).toBeLessThan(20);
    expect(describeStatement(foretold)).toContain(`training would stop after ${allowed} rounds`);

    for (let round = 1; round <= allowed; round++) await guard(policy).pay(round, 1);
    const over = guard(policy).pay(allowed + 1, 1);
    await expect(over).rejects.toMatchObject({ code: "privacy.budget-spent", culprits: ["train"] });
    expect(await payments()).toHaveLength(allowed);
    const after = statement({
      cohort: "train",
      patients: PATIENTS,
      policy,
      payments: await payments(),
      plan: PRIVATE,
      weights: 0,
    });
    expect(after.spentEpsilon).toBeLessThanOrEqual(4);
    expect(after.forecast).toMatchObject({ rounds: 20 - allowed, allowedRounds: 0 });
    // Another cohort has a budget of its own.
    await guard(policy, PRIVATE, "other").pay(1, 1);
  });

  it("pays for a site as a whole, in its federation and for each of its patients, and trains without noise", async () => {
    const whole = {
      ...PRIVATE,
      privacy: { unit: "site", clipL2Norm: 1, noiseMultiplier: 3, delta: 1e-6 },
    } as const;
    expect(await guard(undefined, whole).pay(1, 1)).toBeNull();
    const step = [{ sampleRate: 1, noiseMultiplier: 3, steps: 1 }];
    expect(await payments()).toMatchObject([{ unit: "site", ...step[0] }]);
    expect(spentOn("train", await payments())).toEqual(step);
    expect(spentBySite("toy", await payments())).toEqual(step);
    expect(spentBySite("lungs", await payments())).toEqual([]);
    const shown = statement({
      cohort: "train",
      patients: PATIENTS,
      policy: DEFAULT_POLICY,
      payments: await payments(),
      plan: { ...whole, minSites: 50 },
      weights: 22_000_000,
    });
    // sqrt(22 million) times 3, over 50 sites
    expect(shown.forecast?.site?.noiseOverUpdate).toBeCloseTo(281, 0);
    expect(describeStatement(shown)).toContain("281 times as long as the longest update that it hides");
  });

  it("counts a round that is repeated after a crash twice", async () => {
    await guard().pay(1, 1);
    await guard().pay(1, 1);
    expect(spentOn("train", await payments())).toEqual([
      { sampleRate: 8 / PATIENTS, noiseMultiplier: 2, steps: 16 },
    ]);
  });

  it("lets plans without noise pass, and spends nothing, unless the site requires privacy", async () => {
    expect(await guard({}, toyPlan()).pay(1, 1)).toBeNull();
    await expect(guard({ required: true }, toyPlan()).pay(1, 1)).rejects.toMatchObject({
      code: "privacy.required",
    });
    expect(await payments()).toEqual([]);
  });

  it("refuses a delta that would allow one patient to be revealed", async () => {
    await expect(guard({ delta: 0.02 }).pay(1, 1)).rejects.toMatchObject({ code: "privacy.delta-too-large" });
    expect(await payments()).toEqual([]);
  });

  it("does not go on with an altered ledger, and drops a line that a crash cut off", async () => {
    await guard().pay(1, 1);
    await appendFile(ledgerFile, '{"at":"1970');
    await guard().pay(2, 1);
    expect(await payments()).toHaveLength(2);
    const text = await readFile(ledgerFile, "utf8");
    await writeFile(ledgerFile, text.replace('"steps":8', '"steps":1'));
    await expect(guard().pay(3, 1)).rejects.toMatchObject({ code: "privacy.ledger-broken" });
    await writeFile(ledgerFile, text.slice(text.indexOf("\n") + 1));
    await expect(guard().pay(3, 1)).rejects.toMatchObject({ code: "privacy.ledger-broken" });
  });
});

describe("the policy", () => {
  it("is the default until it is changed, and nothing of a damaged file is shown", async () => {
    const file = path.join(folder, "privacy.json");
    expect(await readPrivacyPolicy(file)).toEqual(DEFAULT_POLICY);
    const own: PrivacyPolicy = { schemaVersion: 1, maxEpsilon: 2, delta: 1e-7, required: true };
    await writePrivacyPolicy(file, own);
    expect(await readPrivacyPolicy(file)).toEqual(own);
    await writeFile(file, '{"CANARY": 1}');
    const broken = readPrivacyPolicy(file).catch(String);
    expect(await broken).not.toContain("CANARY");
    await expect(readPrivacyPolicy(file)).rejects.toMatchObject({ code: "config.invalid" });
  });
});
