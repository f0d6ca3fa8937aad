import { expect, it } from "vitest";
import { parsePlan } from "./plan.ts";
import { whatLeaves, type LeavingWhen } from "./plan-leaves.ts";

const input = { federation: "lungs", title: "Lungs", rounds: 6 };
const weights = { all: 1_600_000, sent: 1_600_000 };

const said = (plan: object, when: LeavingWhen): string =>
  whatLeaves(parsePlan({ ...input, ...plan }), weights)
    .filter((section) => section.when === when)
    .flatMap(({ items }) => items)
    .join(" ");

it("names everything that a masked plan lets out, with sizes", () => {
  expect(said({}, "once")).toContain("Histograms of what the images are like");
  const round = said({}, "each-round");
  for (const part of ["about 6.4 MB a round", "number of images", "losses", "Health of the encoder"]) {
    expect(round).toContain(part);
  }
  expect(said({}, "in-clear")).toContain("how far this site's images are from the others'");
  expect(said({}, "in-clear")).toContain("who takes part");
  expect(said({ aggregation: { linkBits: 16 } }, "each-round")).toContain("about 3.2 MB a round");
});

it("says of patients held out that their loss travels, and that one more exchange follows", () => {
  const plan = { acceptance: { heldOutShare: 0.1 } };
  expect(said(plan, "each-round")).toContain("Patients held out: 10 %");
  expect(said(plan, "after-last-round")).toContain("one more exchange (about 6.4 MB, like an update)");
  expect(said({}, "after-last-round")).toBe("");
});

it("names what is counted only where the plan asks", () => {
  const health = { patients: true, evaluation: { classes: ["normal", "pneumonia"] } };
  expect(said({ health }, "each-round")).toContain("On how many patients the site trains");
  expect(said({ health }, "each-round")).toContain("AUROC");
  expect(said({}, "each-round")).not.toMatch(/AUROC|how many patients/);
});

it("leaves out what a plan does not send, and warns where it can be read", () => {
  const patients = { privacy: { unit: "patient", noiseMultiplier: 1 } };
  expect(said(patients, "each-round")).not.toContain("Health");
  const plain = { aggregation: { secure: "plain" } };
  expect(said(plain, "each-round")).toContain("NOT MASKED");
  expect(said(plain, "in-clear")).not.toContain("two decimals");
});
