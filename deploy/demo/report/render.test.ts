import { describe, expect, it } from "vitest";
import { sampleReport } from "../../../test/browser/support/sample-report.ts";
import { renderReport } from "./render.ts";
import { headline, lossFall, meanInterval, results } from "./summary.ts";
import { demoReportSchema, type DemoReport } from "./types.ts";

const sample = sampleReport();

/** Everything that may be missing is. */
const bare: DemoReport = {
  ...sample,
  parameters: null,
  checkpoint: null,
  options: [],
  steps: [],
  training: { durationMs: 0, rounds: [] },
  evaluations: [],
  references: [],
  reconstructions: [],
  outflows: [],
  checks: [],
  links: [],
};

describe("the report", () => {
  it("shows each hospital's results, and every check", () => {
    const page = renderReport(sample);
    for (const { site, look } of sample.hospitals) {
      expect(page).toContain(site);
      expect(page).toContain(look);
    }
    for (const { value } of sample.checks) expect(page).toContain(value);
    expect(page).toContain("federated encoder");
    expect(page.match(/<img /g)).toHaveLength(3 * 2 * 3);
  });

  it("needs nothing but itself", () => {
    const page = renderReport(sample);
    expect(page).not.toMatch(/<script/i);
    expect(page).not.toMatch(/<(?:link|img)[^>]+(?:src|href)="(?!data:)/);
    expect(page).not.toMatch(/url\(|@import/);
  });

  it("says what the coordinator can read", () => {
    expect(renderReport(sample)).toContain("saw their sum and no single one");
    const aggregation = { ...sample.plan.aggregation, secure: "plain" as const };
    const plain = renderReport({ ...sample, plan: { ...sample.plan, aggregation } });
    expect(plain).toContain("the coordinator could read each hospital");
  });

  it("escapes whatever it is given", () => {
    const hostile = `"><script>alert(1)</script><img src=x onerror='y'>`;
    const page = renderReport({
      ...sample,
      title: hostile,
      question: hostile,
      options: [{ name: hostile, value: hostile }],
      checks: [{ name: hostile, target: hostile, value: hostile, ok: true }],
      links: [{ label: hostile, href: "javascript:alert(1)" }],
    });
    expect(page).not.toContain("<script>");
    expect(page).not.toContain("<img src=x");
    expect(page).not.toContain("javascript:");
  });

  it("renders without what a short run does not have", () => {
    const page = renderReport(demoReportSchema.parse(bare));
    expect(page).toContain("No round was finished.");
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("prints no broken number", () => {
    const oneRound = { ...sample, training: { durationMs: 900, rounds: sample.training.rounds.slice(0, 1) } };
    for (const report of [sample, oneRound])
      expect(renderReport(report)).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("uses the error table's words for files set aside, and the code itself where it knows none", () => {
    const [first] = sample.hospitals;
    if (first === undefined) throw new Error("the sample has hospitals");
    const hospitals = [{ ...first, quarantined: { "dicom.truncated": 2, "dicom.from-the-future": 1 } }];
    const page = renderReport({ ...sample, hospitals });
    expect(page).toContain("2 × the file ends before its pixel data does");
    expect(page).toContain("1 × dicom.from-the-future");
  });
});

describe("the summary", () => {
  it("averages values and interval ends over seeds", () => {
    expect(
      meanInterval([
        { value: 0.6, low: 0.5, high: 0.7 },
        { value: 0.8, low: 0.7, high: 0.9 },
      ]),
    ).toEqual({
      value: expect.closeTo(0.7) as number,
      low: expect.closeTo(0.6) as number,
      high: expect.closeTo(0.8) as number,
    });
    expect(meanInterval([])).toBeNull();
  });

  it("lists what was tried, from scratch first, one mode at a time", () => {
    const [evaluation] = sample.evaluations;
    if (evaluation === undefined) throw new Error("the sample has evaluations");
    expect(results(evaluation, "finetune").map(({ from }) => from)).toEqual(["scratch", "own", "global"]);
    const withoutOwn = { ...evaluation, rows: evaluation.rows.filter(({ from }) => from !== "own") };
    expect(results(withoutOwn, "probe").map(({ from }) => from)).toEqual(["scratch", "global"]);
  });

  it("says of a quick run that it shows nothing of learning", () => {
    const options = [
      { name: "--rounds", value: "2" },
      { name: "--quick", value: "yes" },
    ];
    expect(renderReport({ ...sample, options })).toContain("Too short to learn anything");
    expect(renderReport(sample)).not.toContain("Too short");
  });

  it("takes its headline from fine-tuning, and has none without evaluations", () => {
    const means = headline(sample);
    expect(means?.global).toBeGreaterThan(means?.scratch ?? 1);
    expect(headline(bare)).toBeNull();
    const probeOnly = sample.evaluations.map((evaluation) => ({
      ...evaluation,
      rows: evaluation.rows.filter(({ mode }) => mode === "probe"),
    }));
    expect(headline({ ...sample, evaluations: probeOnly })?.global).toBeLessThan(means?.global ?? 0);
  });

  it("compares the last loss with the first, and needs two", () => {
    expect(lossFall(sample)?.change).toBeLessThan(-0.25);
    expect(lossFall(bare)).toBeNull();
  });
});
